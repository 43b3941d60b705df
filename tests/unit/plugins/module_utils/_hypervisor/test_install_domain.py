# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.acceleration import Acceleration
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.install_domain import (
    Hardware,
    Media,
    engine_owner,
    install_domain,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, get, parse


def described(*, reboot_ends: bool = True, media: dict[str, Any] | None = None, **machine: Any) -> Element:
    hardware = {
        "memory": 1 << 30, "vcpus": 2, "cpu": "maximum", "machine": "q35", "arch": "x86_64", "firmware": "bios", "graphics": "none",
        "acceleration": Acceleration("tcg", "as told"), "network": "", "bridge": "", "log": "/log", **machine,
    }  # fmt: skip
    parts = {"disk": "/d/.disk", "driver": "qcow2", "variables": "/d/.variables", **(media or {})}
    return parse(install_domain("imageops-install-x", Hardware(**hardware), Media(**parts), reboot_ends=reboot_ends))


def test_a_kernel_is_started_directly() -> None:
    root = described(media={"kernel": "/k", "initrd": "/i", "arguments": "quiet"})
    assert [get(root, f"os/{name}") for name in ("kernel", "initrd", "cmdline")] == ["/k", "/i", "quiet"]
    assert root.find("devices/disk/boot") is None
    assert [get(root, name) for name in ("on_poweroff", "on_reboot", "on_crash")] == ["destroy"] * 3
    assert get(root, "devices/serial/log/@file") == "/log"
    assert root.find("devices/video") is not None and root.find("devices/graphics") is None


def test_the_disk_boots_before_the_cd() -> None:
    root = described(reboot_ends=False, media={"cdroms": ["/iso", "/answers"]}, network="default")
    disks = root.findall("devices/disk")
    assert [get(disk, "source/@file") for disk in disks] == ["/d/.disk", "/iso", "/answers"]
    assert [get(disk, "boot/@order") for disk in disks] == ["1", "2", ""]
    assert [disk.find("readonly") is not None for disk in disks] == [False, True, True]
    assert get(root, "devices/interface/source/@network") == "default"
    assert root.find("os/kernel") is None and get(root, "on_reboot") == "restart"


def test_a_network_boot_begins_on_the_network_that_serves_it() -> None:
    root = described(media={"netboot": "imageops-install-x", "from_network": True, "cdroms": ["/answers"]})
    assert get(root, "devices/interface/source/@network") == "imageops-install-x"
    assert get(root, "devices/interface/boot/@order") == "2"
    assert get(root, "devices/disk[@device='cdrom']/boot/@order") == ""


def test_after_the_installer_the_interface_is_the_machine_s_own() -> None:
    root = described(bridge="br0")
    assert get(root, "devices/interface/source/@bridge") == "br0"


def test_uefi_has_variables_that_go_with_the_machine() -> None:
    root = described(firmware="uefi")
    assert get(root, "os/@firmware") == "efi" and get(root, "os/nvram") == "/d/.variables"


def test_answers_by_the_firmware() -> None:
    root = described(media={"firmware_files": (("opt/com.coreos/config", "/d/.answers"),)})
    assert get(root, "sysinfo[@type='fwcfg']/entry[@name='opt/com.coreos/config']/@file") == "/d/.answers"


def test_other_processors_have_other_parts() -> None:
    root = described(arch="aarch64", machine="virt", graphics="vnc")
    assert get(root, "devices/video/model/@type") == "virtio" and root.find("os/bios") is None
    assert get(root, "devices/graphics/@listen") == "127.0.0.1"


def test_who_runs_the_engine() -> None:
    dac = "<secmodel><model>dac</model><baselabel type='kvm'>+64055:+105</baselabel></secmodel>"
    other = "<secmodel><model>apparmor</model></secmodel>"
    assert engine_owner(parse(f"<capabilities><host>{other}{dac}</host></capabilities>")) == (64055, 105)
    assert engine_owner(parse(f"<capabilities><host>{other}</host></capabilities>")) is None
