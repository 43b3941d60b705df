# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import IMAGEOPS, Element, get, parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_identity import (
    Identity,
    describe,
    new_mac,
    origin,
    own_path,
)

SOURCE = f"""
<domain type='qemu'>
  <name>web</name><uuid>11111111-1111-1111-1111-111111111111</uuid><title>kept</title><genid>22222222</genid>
  <metadata>
    <imageops:vm xmlns:imageops='{IMAGEOPS}'>
      <imageops:disk target='vda' path='/images/base.qcow2'/><imageops:xml sha256='0' rewritten=''/>
    </imageops:vm>
    <other xmlns='urn:x'>kept</other>
  </metadata>
  <os><nvram>/nvram/web_VARS.fd</nvram></os>
  <sysinfo type='smbios'><system><entry name='uuid'>11111111-1111-1111-1111-111111111111</entry></system></sysinfo>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw' cache='none'/><source file='/images/web.raw'/><backingStore/><target dev='vda'/>
    </disk>
    <disk type='file' device='cdrom'>
      <driver type='raw'/><source file='/images/web-seed.iso'/><target dev='sda'/><readonly/>
    </disk>
    <disk type='file' device='cdrom'><source file='/iso/tools.iso'/><target dev='sdb'/><readonly/></disk>
    <disk type='file' device='cdrom'><target dev='sdc'/><readonly/></disk>
    <interface type='bridge'>
      <mac address='52:54:00:00:00:01'/><source bridge='br0'/><target dev='web0'/>
      <virtualport type='openvswitch'><parameters interfaceid='3'/></virtualport>
    </interface>
    <serial type='pty'><log file='/log/web-serial.log' append='off'/></serial>
    <serial type='file'><source path='/log/website.txt'/></serial>
    <channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-1-web/agent'/></channel>
    <channel type='unix'><source mode='bind' path='/run/mine/web.sock'/></channel>
    <graphics type='vnc' port='5901' autoport='no' listen='127.0.0.1'/>
    <vsock><cid auto='no' address='7'/></vsock>
  </devices>
</domain>
"""
UUID = "33333333-3333-3333-3333-333333333333"


@pytest.fixture
def clone() -> Element:
    identity = Identity(
        name="copy",
        uuid=UUID,
        macs=["52:54:00:00:00:02"],
        mode="linked",
        disks={"vda": ("/images/copy-vda.qcow2", "qcow2")},
        seed=("/images/web-seed.iso", "/images/copy-seed.iso"),
        nvram="/nvram/copy_VARS.fd",
    )
    return describe(parse(SOURCE), identity)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "copy"),
        ("uuid", UUID),
        ("title", "kept"),
        ("genid", ""),
        ("sysinfo/system/entry", UUID),
        ("os/nvram", "/nvram/copy_VARS.fd"),
        ("devices/disk[1]/source/@file", "/images/copy-vda.qcow2"),
        ("devices/disk[1]/driver/@type", "qcow2"),
        ("devices/disk[1]/driver/@cache", "none"),
        ("devices/disk[2]/source/@file", "/images/copy-seed.iso"),
        ("devices/disk[3]/source/@file", "/iso/tools.iso"),
        ("devices/interface/mac/@address", "52:54:00:00:00:02"),
        ("devices/interface/virtualport/@type", "openvswitch"),
        ("devices/serial[1]/log/@file", "/log/copy-serial.log"),
        ("devices/serial[2]/source/@path", "/log/copy-website.txt"),
        ("devices/channel[2]/source/@path", "/run/mine/copy.sock"),
        ("devices/graphics/@autoport", "yes"),
        ("devices/graphics/@listen", "127.0.0.1"),
        ("devices/vsock/cid/@auto", "yes"),
        ("metadata/{urn:x}other", "kept"),
        (f"metadata/{{{IMAGEOPS}}}vm/{{{IMAGEOPS}}}disk/@path", "/images/copy-vda.qcow2"),
    ],
)
def test_what_the_clone_has(clone: Element, path: str, value: str) -> None:
    assert get(clone, path, default="missing") == value


@pytest.mark.parametrize(
    "path",
    [
        "devices/disk/backingStore",
        "devices/interface/target",
        "devices/channel[1]/source",
        f"metadata/{{{IMAGEOPS}}}vm/{{{IMAGEOPS}}}xml",
    ],
)
def test_what_goes(clone: Element, path: str) -> None:
    assert clone.find(path) is None


@pytest.mark.parametrize(
    ("path", "attribute"),
    [
        ("devices/interface/virtualport/parameters", "interfaceid"),
        ("devices/graphics", "port"),
        ("devices/vsock/cid", "address"),
    ],
)
def test_what_libvirt_chooses(clone: Element, path: str, attribute: str) -> None:
    found = clone.find(path)
    assert found is not None and attribute not in found.attrib


def test_where_it_comes_from(clone: Element) -> None:
    assert origin(clone) == {
        "source": "web", "source_uuid": "11111111-1111-1111-1111-111111111111", "mode": "linked",
    }  # fmt: skip
    assert origin(parse(SOURCE)) == {}


def test_a_clone_of_a_clone_names_its_own_source(clone: Element) -> None:
    again = describe(clone, Identity("third", UUID, [], "full", {"vda": ("/x", "raw")}))
    assert origin(again) == {"source": "copy", "source_uuid": UUID, "mode": "full"}


@pytest.mark.parametrize(
    ("path", "own"),
    [
        ("/log/web.log", "/log/copy.log"),
        ("/log/web-web.log", "/log/copy-web.log"),
        ("/log/webs.log", "/log/copy-webs.log"),
        ("/web/serial.log", "/web/copy-serial.log"),
    ],
)
def test_paths_of_its_own(path: str, own: str) -> None:
    assert own_path(path, "web", "copy") == own


def test_macs_are_made_up_in_qemus_range() -> None:
    assert new_mac().startswith("52:54:00:") and len({new_mac() for _turn in range(20)}) > 1
