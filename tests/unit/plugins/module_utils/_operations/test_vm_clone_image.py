# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import ImageConfig
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InvalidOption,
    UnsafeImage,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import get
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone import plan_clone
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan
from ansible_collections.imageops.fleet.tests.unit import catalog_images
from ansible_collections.imageops.fleet.tests.unit.catalog_images import HandMade

from .test_catalog_base import GIVEN, carry_out, disk, tools

__all__ = ["tools"]

CLONE: dict[str, Any] = {
    **GIVEN, "state": "stopped", "mode": "linked", "directory": None, "mac": None, "wait_for": None, "snapshot": None, "quiesce": False,
    "quiesce_timeout": 10, "disks": None, "identity": "none", "tpm": "refuse", "serials": "new", "hypervisor": "libvirt", "socket": None,
    "timeout": 0, "on_interrupt": "detach", "lease_timeout": 60, "bandwidth": None, "images_dir": None, "memory": None,
}  # fmt: skip
XML = """\
<domain type='kvm'>
  <name>golden</name>
  <memory unit='KiB'>131072</memory>
  <vcpu>2</vcpu>
  <os><type machine='pc-q35-7.2'>hvm</type></os>
  <devices>
    <emulator>/tmp/evil</emulator>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='disk'><source file='/etc/shadow'/><target dev='vdb' bus='virtio'/></disk>
    <filesystem type='mount'><source dir='/'/><target dir='root'/></filesystem>
    <serial type='file'><source path='/etc/passwd'/></serial>
    <interface type='network'><mac address='52:54:00:aa:bb:cc'/><source network='default'/><script path='/tmp/evil'/></interface>
  </devices>
</domain>
"""


def publish(folder: Path, monkeypatch: pytest.MonkeyPatch, xml: str, *, disks: int = 1) -> HandMade:
    told = functools.partial(ImageConfig, vm={"name": "golden", "xml": xml, "firmware": "bios"} if xml else {})
    monkeypatch.setattr(catalog_images, "ImageConfig", told)
    made = HandMade(folder / "golden")
    made.publish({f"vd{'ab'[number]}": disk(number + 1) for number in range(disks)}, tag="1")
    return made


def plan(tools: Tools, catalog: HandMade, **given: Any) -> Plan:
    tools.forecast.clear()
    return plan_clone({**CLONE, "name": "web", "source": f"dir:{catalog.path}:1", **given}, tools)


def test_a_published_machine_is_made_again(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = publish(tmp_path, monkeypatch, XML)
    planned = plan(tools, catalog)
    assert [title.split()[0] for title in carry_out(planned)] == ["pull", "make", "define"]
    told = planned.observe()
    assert (told["source"], told["mode"], told["state"]) == (f"dir:{catalog.path}:1", "linked", "stopped")
    assert [(each["target"], Path(each["path"]).name) for each in told["disks"]] == [("vda", "web-vda.qcow2")]
    assert told["macs"] != ["52:54:00:aa:bb:cc"]
    assert not plan(tools, catalog).changed


def test_nothing_of_a_strangers_xml_comes_through(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(plan(tools, publish(tmp_path, monkeypatch, XML)))
    domain = tools.hypervisor("test:///default").domain("web")
    assert domain is not None
    root = domain.xml()
    text = domain.raw.XMLDesc()
    assert not [word for word in ("evil", "shadow", "passwd", "filesystem") if word in text]
    assert (get(root, "memory"), get(root, "vcpu")) == ("131072", "2")


@pytest.mark.parametrize("memory", [2049, 2500, 3000])
def test_the_memory_is_the_publishers_to_the_byte(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int
) -> None:
    told = "<memory unit='KiB'>131072<"
    carry_out(plan(tools, publish(tmp_path, monkeypatch, XML.replace(told, f"<memory unit='MiB'>{memory}<"))))
    domain = tools.hypervisor("test:///default").domain("web")
    assert domain is not None
    assert get(domain.xml(), "memory") == str(memory * 1024)


def test_a_tag_that_moved(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = publish(tmp_path, monkeypatch, XML)
    carry_out(plan(tools, catalog))
    digest = catalog.store.tags()["1"]
    catalog.publish({"vda": disk(7)}, tag="1")
    assert not plan(tools, catalog).changed
    assert not plan(tools, catalog, source=f"dir:{catalog.path}@{digest}").changed


def test_disks_that_are_left_out(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = publish(tmp_path, monkeypatch, XML, disks=2)
    planned = plan(tools, catalog, disks=[{"target": "vdb", "mode": "skip"}], mode="full", mac=["52:54:00:00:00:01"])
    carry_out(planned)
    told = planned.observe()
    assert ([each["target"] for each in told["disks"]], told["macs"]) == (["vda"], ["52:54:00:00:00:01"])
    assert told["disks"][0]["backing"] in ("", None, [])


TPM = XML.replace("<devices>", "<devices><tpm model='tpm-crb'><backend type='emulator'/></tpm>")
REFUSALS: dict[str, tuple[str, dict[str, Any], type[ImageOpsError], str]] = {
    "no machine in it": ("", {}, Unsupported, "holds disks without a VM"),
    "a TPM": (TPM, {}, Unsupported, "has a TPM"),
    "a snapshot": (XML, {"snapshot": "one"}, InvalidOption, "snapshot: it is for clones of VMs"),
    "editing": (XML, {"identity": "edit"}, Unsupported, "identity: disks of a clone from an image"),
    "a shared disk": (XML, {"disks": [{"target": "vda", "mode": "share"}]}, Unsupported, "vda is neither"),
    "another document": ("<!DOCTYPE x [<!ENTITY a 'b'>]>" + XML, {}, UnsafeImage, "source"),
    "nobody signed": (
        XML,
        {"require_signature": {"allowed_signers": "/dev/null"}},
        ImageOpsError,
        "not signed|no file",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    xml, given, error, words = REFUSALS[case]
    with pytest.raises(error, match=words):
        plan(tools, publish(tmp_path, monkeypatch, xml), **given)


def test_another_machine_of_that_name(tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Conflict, match="no disk of it was made from"):
        plan(tools, publish(tmp_path, monkeypatch, XML), name="test")
