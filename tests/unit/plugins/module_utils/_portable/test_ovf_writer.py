# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._portable.machine import Drive, Machine, Nic, machine_of
from ansible_collections.imageops.fleet.plugins.module_utils._portable.ovf_names import OVF, RASD, VBOX, VMW, VSSD
from ansible_collections.imageops.fleet.plugins.module_utils._portable.ovf_writer import (
    DiskFile,
    Flavour,
    changes,
    descriptor,
    left_out,
    refusals,
)

NAMES = {"o": OVF, "r": RASD, "v": VSSD, "vmw": VMW, "vbox": VBOX}
MACHINE = Machine(
    "web & <1>",
    vcpus=4,
    memory=(2 << 30) + 1,
    cores=2,
    os="debian12",
    description="two\nlines \x00\ud800",
    drives=(Drive("vda"), Drive("vdb", "sata")),
    nics=(Nic("virtio", "52:54:00:00:00:01", "lan"), Nic("rtl8139", "", ""), Nic("e1000", "", "lan")),
)
VIRTUALBOX = Flavour("virtualbox")


def root_of(machine: Machine, flavour: Flavour) -> ElementTree.Element:
    disks = [DiskFile(f"d{number}.vmdk", 1000, 2048, 512) for number in range(len(machine.drives))]
    return ElementTree.fromstring(descriptor(machine, disks, flavour))


def items(root: ElementTree.Element, kind: int) -> list[dict[str, str]]:
    found = root.iterfind("o:VirtualSystem/o:VirtualHardwareSection/o:Item", NAMES)
    told = [{child.tag.partition("}")[2]: child.text or "" for child in item} for item in found]
    return [item for item in told if item["ResourceType"] == str(kind)]


def text(root: ElementTree.Element, path: str) -> str:
    found = root.find(path, NAMES)
    assert found is not None
    return found.text or ""


def test_it_says_its_encoding() -> None:
    assert descriptor(Machine("wöb"), [], Flavour()).startswith(
        b'<?xml version="1.0" encoding="UTF-8"?>\n<ovf:Envelope '
    )


def test_the_hardware_is_told() -> None:
    root = root_of(MACHINE, Flavour())
    assert text(root, "o:VirtualSystem/o:Name") == "web & <1>"
    assert text(root, "o:VirtualSystem/o:AnnotationSection/o:Annotation") == "two\nlines "
    assert text(root, ".//v:VirtualSystemType") == "vmx-13"
    assert [item["VirtualQuantity"] for item in items(root, 3)] == ["4"]
    assert [item["VirtualQuantity"] for item in items(root, 4)] == ["2049"]
    assert text(root, ".//vmw:CoresPerSocket") == "2"
    assert [(item["ResourceSubType"], item["Connection"]) for item in items(root, 10)] == [
        ("VmxNet3", "lan"),
        ("E1000", "default"),
        ("E1000", "lan"),
    ]
    networks = [one.get(f"{{{OVF}}}name") for one in root.iterfind("o:NetworkSection/o:Network", NAMES)]
    assert networks == ["lan", "default"]
    assert items(root, 6)[0]["ResourceSubType"] == "lsilogic"
    assert items(root, 20)[0]["ResourceSubType"] == "vmware.sata.ahci"


def test_identities_are_unique_and_disks_hang_on_controllers() -> None:
    root = root_of(replace(MACHINE, drives=tuple(Drive(f"d{number}") for number in range(40))), Flavour())
    told = [one.text for one in root.iterfind(".//r:InstanceID", NAMES)]
    assert len(set(told)) == len(told)
    controllers = {item["InstanceID"]: item["Address"] for item in items(root, 6)}
    assert list(controllers.values()) == ["0", "1", "2"]
    places = [(item["Parent"], item["AddressOnParent"]) for item in items(root, 17)]
    assert len(set(places)) == 40
    assert {parent for parent, _place in places} == set(controllers)
    assert "7" not in {place for _parent, place in places}


def test_firmware_is_told_in_vmwares_words_only() -> None:
    machine = replace(MACHINE, firmware="uefi", secure_boot=True, tpm=True, cdroms=1)
    told = {
        one.get(f"{{{VMW}}}key"): one.get(f"{{{VMW}}}value")
        for one in root_of(machine, Flavour()).iter(f"{{{VMW}}}Config")
    }
    assert told == {"firmware": "efi", "bootOptions.efiSecureBootEnabled": "true"}
    assert not list(root_of(machine, VIRTUALBOX).iter(f"{{{VMW}}}Config"))
    assert [sentence.split()[0:2] for sentence in left_out(machine, VIRTUALBOX)] == [
        ["VirtualBox", "doesn't"],
        ["VirtualBox", "doesn't"],
        ["The", "TPM"],
        ["1", "CD-ROM"],
    ]
    assert len(left_out(machine, Flavour())) == 2
    assert left_out(MACHINE, Flavour()) == []


def test_virtualbox_has_words_of_its_own() -> None:
    root = root_of(MACHINE, VIRTUALBOX)
    assert text(root, ".//v:VirtualSystemType") == "virtualbox-2.2"
    assert text(root, ".//vbox:OSType") == "Debian_64"
    assert [item["ResourceSubType"] for item in items(root, 20)] == ["AHCI"]
    assert {item["ResourceSubType"] for item in items(root, 10)} == {"E1000"}


@pytest.mark.parametrize(
    ("os", "number", "guest"),
    [
        ("debian12", "96", "other3x"),
        ("", "101", "other3x"),
        ("win2k22", "117", "windows9"),
        ("winxp", "102", "windows9"),
    ],
)
def test_the_guests_system(os: str, number: str, guest: str) -> None:
    section = root_of(replace(MACHINE, os=os), Flavour()).find("o:VirtualSystem/o:OperatingSystemSection", NAMES)
    assert section is not None
    assert section.get(f"{{{OVF}}}id") == number
    assert str(section.get(f"{{{VMW}}}osType")).startswith(guest)


def test_what_is_altered_is_told() -> None:
    assert changes(MACHINE, Flavour()) == [
        "The disk vda is on virtio, in the export on lsilogic.",
        "Network card 0 is a virtio, in the export a vmxnet3.",
        "Network card 1 is a rtl8139, in the export a e1000.",
    ]
    assert changes(MACHINE, Flavour(adapter="pvscsi"))[1] == "The disk vdb is on sata, in the export on pvscsi."


def test_what_a_hardware_version_can_t_have() -> None:
    machine = replace(MACHINE, firmware="uefi", secure_boot=True)
    assert refusals(machine, Flavour(hardware=7)) == [
        "UEFI needs version 8 or later",
        "secure boot needs version 13 or later",
    ]
    assert refusals(machine, Flavour(hardware=13)) == []
    assert refusals(machine, VIRTUALBOX) == []


def test_a_machine_survives_its_plain_values() -> None:
    assert machine_of(MACHINE.as_dict()) == MACHINE
