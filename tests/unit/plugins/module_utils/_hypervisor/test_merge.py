# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.merge import merge
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import alike, clone, get, parse

WHOLE = """<domain type='kvm' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>web</name><memory unit='KiB'>65536</memory>
  <cpu mode='host-model'><feature policy='require' name='vmx'/></cpu>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/a'/><target dev='vda' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
    <interface type='network'><mac address='52:54:00:00:00:ab'/><source network='other'/></interface>
    <hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x01' slot='0x00' function='0x0'/>
    </source><address type='pci' bus='0x07'/></hostdev>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <memballoon model='virtio'/>
  </devices>
</domain>"""

TABLE = [
    ("<cpu><feature policy='disable' name='vmx'/></cpu>", 1, "cpu/feature[@name='vmx']/@policy", "disable"),
    ("<cpu><feature policy='require' name='svm'/></cpu>", 1, "cpu/feature[@name='svm']/@policy", "require"),
    ("<devices><disk><driver cache='none' io='native'/><target dev='vda'/></disk></devices>", 2,
     "devices/disk/driver/@cache", "none"),
    ("<devices><interface><mac address='52:54:00:00:00:01'/><mtu size='9000'/></interface></devices>", 1,
     "devices/interface/mtu/@size", "9000"),
    ("<devices><memballoon><stats period='5'/></memballoon></devices>", 1, "devices/memballoon/stats/@period", "5"),
    ("<devices><watchdog model='itco' action='reset'/></devices>", 1, "devices/watchdog/@action", "reset"),
    ("<devices><hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/></source></hostdev></devices>", 1,
     "devices/hostdev[@type='usb']/source/vendor/@id", "0x1"),
    ("<memtune><hard_limit unit='GiB'>1</hard_limit></memtune>", 1, "memtune/hard_limit", "1"),
    ("<on_crash>restart</on_crash>", 1, "on_crash", "restart"),
]  # fmt: skip


@pytest.mark.parametrize(("part", "changes", "path", "value"), TABLE)
def test_what_the_part_says_is_set_once(part: str, changes: int, path: str, value: str) -> None:
    whole, declared = parse(WHOLE), parse(f"<domain>{part}</domain>")
    before = clone(whole)
    assert len(merge(whole, declared)) == changes
    assert get(whole, path) == value
    assert not alike(whole, before)
    once = clone(whole)
    assert merge(whole, declared) == []
    assert alike(whole, once)


@pytest.mark.parametrize(
    "part",
    [
        "<devices><hostdev mode='subsystem' type='pci'><source><address bus='0x01' slot='0x00'/></source></hostdev></devices>",
        "<devices><rng model='virtio'/></devices>",
        "<devices><interface><mac address='52:54:00:00:00:AB'/><source network='other'/></interface></devices>",
        "<devices><disk device='cdrom'><target dev='sda'/></disk></devices>",
        "",
    ],
)
def test_what_is_there_is_not_made_again(part: str) -> None:
    whole = parse(WHOLE)
    before = clone(whole)
    assert merge(whole, parse(f"<domain>{part}</domain>")) == []
    assert alike(whole, before)


def test_a_new_disk_stands_after_the_others() -> None:
    whole = parse(WHOLE)
    merge(
        whole,
        parse("<domain><devices><disk type='file'><source file='/b'/><target dev='vdb'/></disk></devices></domain>"),
    )
    assert [get(disk, "target/@dev") for disk in whole.findall("devices/disk")] == ["vda", "sda", "vdb"]
    tags = [child.tag for child in whole.findall("devices/*")]
    assert tags[:4] == ["disk", "disk", "disk", "interface"]


def test_a_command_line_is_set_as_a_whole() -> None:
    head = "<domain xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:commandline>"
    parts = [
        parse(head + "".join(f"<qemu:arg value='{word}'/>" for word in words) + "</qemu:commandline></domain>")
        for words in (["-device", "a", "-device", "b"], ["-device", "a"])
    ]
    whole = parse(WHOLE)
    for part, count in zip(parts, (4, 2)):
        assert len(merge(whole, part)) == 1
        assert merge(whole, part) == []
        assert len(whole.findall("{http://libvirt.org/schemas/domain/qemu/1.0}commandline/*")) == count


def test_changes_tell_places_and_no_values() -> None:
    whole = parse("<domain><devices><graphics type='vnc' passwd='old secret'/></devices></domain>")
    changes = merge(whole, parse("<domain><devices><graphics type='vnc' passwd='new secret'/></devices></domain>"))
    assert [change.place for change in changes] == ["/devices[0]/graphics[vnc]/@passwd"]
    assert "secret" not in str(changes[0])
