# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError, InvalidOption, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_kind import (
    DiskFacts,
    VmFacts,
    Wish,
    choose,
)

QCOW2, RAW = DiskFacts("vda", "/a.qcow2", "qcow2"), DiskFacts("vdb", "/b.raw", "raw")
NETWORK, BLOCK = DiskFacts("vdc", "", "raw"), DiskFacts("vdd", "/dev/sdb", "raw")
VMDK, DEEP = DiskFacts("vde", "/e.vmdk", "vmdk"), DiskFacts("vda", "/a.qcow2", "qcow2", depth=24)


def facts(**more: Any) -> VmFacts:
    return VmFacts(**{"vm": "web", "state": "stopped", "disks": (QCOW2,), **more})


@pytest.mark.parametrize(
    ("vm", "wish", "kind", "memory", "why"),
    [
        ({}, {}, "internal", False, "all disks are qcow2"),
        ({"state": "running"}, {}, "internal", True, "all disks are qcow2"),
        ({"state": "paused"}, {}, "internal", True, "all disks are qcow2"),
        ({"state": "crashed"}, {}, "internal", False, "all disks are qcow2"),
        ({"kinds": {"internal"}}, {}, "internal", False, "as the VM's other snapshots are"),
        ({"disks": (QCOW2, RAW)}, {}, "external", False, "the disk vdb of web .* is raw"),
        ({"disks": (RAW,), "state": "running"}, {}, "external", True, "is raw"),
        ({"uefi": True, "nvram": "/n.fd"}, {}, "external", False, "would leave out its NVRAM ./n.fd"),
        ({"uefi": True, "state": "running"}, {}, "external", True, "NVRAM .pflash"),
        ({"tpm": True, "state": "running"}, {}, "external", True, "has a TPM"),
        ({"state": "running"}, {"memory": False}, "external", False, "would be torn"),
        ({"state": "running"}, {"quiesce": True}, "external", False, "would be torn"),
        ({"quiesce": True}, {}, "internal", False, "all disks are qcow2"),
        ({"kinds": {"external"}}, {}, "external", False, "its other snapshots are"),
        ({}, {"kind": "external"}, "external", False, "asked for"),
        ({"state": "running"}, {"kind": "internal"}, "internal", True, "asked for"),
        ({"disks": (DEEP,), "version": (12, 0, 0)}, {"kind": "external"}, "external", False, "asked for"),
    ],
)
def test_choice(vm: dict[str, Any], wish: dict[str, Any], kind: str, memory: bool, why: str) -> None:
    wish = {**wish, **({"quiesce": vm.pop("quiesce")} if "quiesce" in vm else {})}
    found = choose(facts(**{**vm, "kinds": frozenset(vm.get("kinds", ()))}), Wish(**wish))
    assert (found.kind, found.memory) == (kind, memory)
    assert re.search(why, found.reason)


def test_only_a_running_guest_is_frozen() -> None:
    assert not choose(facts(), Wish(quiesce=True)).quiesce
    assert choose(facts(state="running"), Wish(quiesce=True)).quiesce


@pytest.mark.parametrize(
    ("vm", "wish", "error", "says"),
    [
        ({"persistent": False}, {}, Unsupported, "is transient"),
        ({"disks": ()}, {}, Unsupported, "no disk that it may write"),
        ({}, {"memory": True}, InvalidOption, "no memory to keep"),
        ({"state": "running"}, {"memory": True, "quiesce": True}, InvalidOption, "^quiesce: "),
        ({"disks": (RAW,)}, {"kind": "internal"}, Unsupported, "is raw, and only qcow2"),
        ({"disks": (NETWORK,)}, {}, Unsupported, "vdc of web is not a local file.*no folder for its overlay"),
        ({"disks": (BLOCK,)}, {"kind": "external"}, Unsupported, "vdd of web is not a file"),
        ({"disks": (VMDK,)}, {}, Unsupported, "is vmdk, and what is merged"),
        ({"uefi": True}, {"kind": "internal"}, Unsupported, "boots with UEFI"),
        ({"tpm": True}, {}, Unsupported, "has a TPM.*only goes along with the memory"),
        ({"tpm": True, "state": "running"}, {"memory": False}, Unsupported, "only goes along with the memory"),
        ({"kinds": {"internal"}}, {"kind": "external"}, Unsupported, "libvirt before 11.0 deletes the image"),
        ({"kinds": {"external"}}, {"kind": "internal"}, Unsupported, "libvirt before 11.0 deletes the image"),
        ({"kinds": {"internal", "external"}}, {}, Unsupported, "mixing the kinds"),
        ({"checkpoints": True}, {"kind": "external"}, Unsupported, "has checkpoints"),
        ({"disks": (DEEP,)}, {"kind": "external"}, Unsupported, "has 24 layers, and libvirt before 12.0"),
        ({"state": "running"}, {"memory": False, "kind": "internal"}, Unsupported, "would be torn"),
    ],
)
def test_refusals(vm: dict[str, Any], wish: dict[str, Any], error: type[ImageOpsError], says: str) -> None:
    with pytest.raises(error, match=says):
        choose(facts(**{**vm, "kinds": frozenset(vm.get("kinds", ()))}), Wish(**wish))
