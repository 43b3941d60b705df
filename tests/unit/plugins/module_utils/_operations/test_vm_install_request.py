# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_request import (
    is_same_media,
    read_request,
)
from ansible_collections.imageops.fleet.tests.unit.install_params import install_params

NO_KERNEL = {"kernel": None, "initrd": None}


@pytest.mark.parametrize(
    ("given", "boot", "served"),
    [
        ({}, "direct", False),
        ({"iso": "/x.iso", **NO_KERNEL}, "cdrom", False),
        ({"iso": "/x.iso", "kernel": "boot/linux", "initrd": "boot/initrd"}, "direct", False),
        ({"boot": "network"}, "network", True),
        ({"boot": "network", "network": "lab", **NO_KERNEL}, "network", False),
        ({"network": "lab", **NO_KERNEL}, "network", False),
        ({"tftp_root": "/tftp", "boot_file": "pxelinux.0", **NO_KERNEL}, "network", True),
        ({"tftp_root": "/tftp", "boot_file": "x.efi", "firmware": "uefi", **NO_KERNEL}, "network", True),
    ],
)
def test_how_the_installer_starts(tmp_path: Path, given: dict[str, Any], boot: str, served: bool) -> None:
    request = read_request(install_params(tmp_path, **given))
    assert (request.boot, request.served) == (boot, served)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"path": "disk.qcow2"}, "not an absolute path"),
        ({"uri": "qemu+ssh://other/system"}, "remote host other"),
        ({"boot": "direct", **NO_KERNEL}, "kernel: nothing is given"),
        ({"boot": "cdrom", **NO_KERNEL}, "iso: nothing is given"),
        ({"boot": "cdrom", "iso": "/x.iso"}, "kernel: 'boot: cdrom'"),
        (NO_KERNEL, "nothing is given to install from"),
        ({"kernel": None, "iso": "/x.iso"}, "initrd: it belongs to a kernel"),
        ({"kernel": "linux"}, "give iso too"),
        ({"initrd": None, "answers": {"kind": "preseed", "content": "x"}}, "initrd: a preseed file is put into it"),
        ({"boot": "network", "firmware": "uefi"}, "which UEFI doesn't start"),
        ({"arguments": "a", "iso": "/x.iso", **NO_KERNEL}, "arguments: they are for a kernel"),
        ({"arguments": "a\nb"}, "more than one line"),
        ({"arguments": "a\x01b"}, "can't be in a VM's description"),
        ({"iso": "x.iso"}, "not an absolute path"),
        ({"tftp_root": "/x", **NO_KERNEL}, "give both, or none"),
        ({"tftp_root": "/x", "boot_file": "y"}, "for 'boot: network' without a kernel"),
        ({"tftp_root": "/x", "boot_file": "../y", **NO_KERNEL}, "leads out of tftp_root"),
        ({"boot": "network", "network": "lab"}, "network of the installation's own"),
        ({"network": "lab", "bridge": "br0"}, "leave one of them out"),
        ({"subnet": "10.0.0.0/24"}, "subnet: it is for"),
        ({"boot": "network", "subnet": "10.0.0.1/24"}, "is no IPv4 network"),
        ({"boot": "network", "subnet": "10.0.0.0/8"}, "subnet: 10.0.0.0/8 is too large or too small"),
        ({"boot": "network", "subnet": "10.0.0.1/32"}, "give a prefix of /16 to /30"),
        ({"memory": "1MiB"}, "at least 16 MiB"),
        ({"vcpus": 0}, "no number of CPUs"),
        ({"size": "0"}, "makes no disk"),
        ({"finish": {"when": "console"}}, "give both, or none"),
        ({"finish": {"when": "agent", "console": "x"}}, "give both, or none"),
        ({"finish": {"failure": "("}}, "finish.failure: '\\(' is no regular expression"),
        ({"finish": {"timeout": -1}}, "seconds are none"),
        ({"finish": {"screenshot": "/nowhere"}}, "is no folder"),
    ],
)
def test_what_is_refused(tmp_path: Path, given: dict[str, Any], said: str) -> None:
    with pytest.raises(ImageOpsError, match=said):
        read_request(install_params(tmp_path, **given))


@pytest.mark.parametrize(
    ("finish", "when", "ends"),
    [
        (None, "poweroff", True),
        ({"reboot": "continues"}, "poweroff", False),
        ({"console": "login:"}, "console", False),
        ({"when": "agent"}, "agent", False),
        ({"when": "agent", "reboot": "ends"}, "agent", True),
    ],
)
def test_the_end(tmp_path: Path, finish: dict[str, Any] | None, when: str, ends: bool) -> None:
    found = read_request(install_params(tmp_path, finish=finish)).finish
    assert (found.when, found.reboot_ends, found.timeout) == (when, ends, 7200)


def test_media_are_the_same_as_long_as_their_files_are(tmp_path: Path) -> None:
    params = install_params(tmp_path)
    made = read_request(params).made_from()
    assert is_same_media(read_request(params).made_from(), made)
    (tmp_path / "linux").unlink()
    assert is_same_media(read_request(params).made_from(), made)
    (tmp_path / "linux").write_bytes(b"another")
    assert not is_same_media(read_request(params).made_from(), made)
    assert not is_same_media(made, None) and not is_same_media(made, ["x", "y"]) and not is_same_media(made, [])


def test_answers_are_declared_by_their_digest(tmp_path: Path) -> None:
    request = read_request(install_params(tmp_path, answers={"kind": "kickstart", "content": "rootpw hunter2"}))
    assert "hunter2" not in str(request.declared()) and "hunter2" not in str(request.finish)
    assert request.declared()["answers"].startswith("kickstart:")


def test_arguments_are_declared_by_their_digest(tmp_path: Path) -> None:
    declared = read_request(install_params(tmp_path, arguments="url=https://x/?token=hunter2")).declared()
    assert "hunter2" not in str(declared)
    other = read_request(install_params(tmp_path, arguments="url=https://x/?token=hunter3")).declared()
    assert declared["arguments"] != other["arguments"]
    assert "arguments" not in read_request(install_params(tmp_path)).declared()
