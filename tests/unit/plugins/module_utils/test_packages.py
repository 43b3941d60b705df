# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _packages
from ansible_collections.imageops.fleet.plugins.module_utils._packages import firmware_package, package

PYTHON = f"python{sys.version_info[0]}{sys.version_info[1]}"
DEBIAN = 'NAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n'
UBUNTU = "ID=ubuntu\nID_LIKE=debian\n"
RHEL = 'ID="rhel"\nID_LIKE="fedora"\n'
ROCKY = 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\n'
FEDORA = "ID=fedora\nVARIANT_ID=server\n"
SLES = "ID='sles'\nID_LIKE='suse'\n"
LEAP = 'ID="opensuse-leap"\nID_LIKE="suse opensuse"\n'
ARCH = "ID=arch\n"


def told_by(path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr(_packages, "OS_RELEASE", ("/no/such/file", str(path)))


@pytest.mark.parametrize(
    ("release", "thing", "name"),
    [
        (DEBIAN, "qemu-img", "qemu-utils"),
        (UBUNTU, "libvirt", "python3-libvirt"),
        (RHEL, "qemu-img", "qemu-img"),
        (ROCKY, "virsh", "libvirt-client"),
        (FEDORA, "nbd", "python3-libnbd"),
        (SLES, "libvirt", f"{PYTHON}-libvirt-python"),
        (LEAP, "qemu-nbd", "qemu-tools"),
        (LEAP, "swtpm", "swtpm"),
        (ARCH, "nbd", "python3-libnbd"),
        (ARCH, "qemu-img", "qemu-utils (Debian; qemu-img on RHEL and Fedora, qemu-tools on SUSE)"),
        ("", "virsh", "libvirt-clients (Debian; libvirt-client on RHEL and Fedora, libvirt-client on SUSE)"),
        (DEBIAN, "unheard-of", "unheard-of"),
    ],
)
def test_packages_have_the_names_of_the_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, thing: str, name: str
) -> None:
    told_by(tmp_path / "os-release", release, monkeypatch)
    assert package(thing) == name


@pytest.mark.parametrize(
    ("release", "arch", "name"),
    [
        (DEBIAN, "x86_64", "ovmf"),
        (ROCKY, "x86_64", "edk2-ovmf"),
        (ROCKY, "aarch64", "edk2-aarch64"),
        (LEAP, "aarch64", "qemu-uefi-aarch64"),
        (SLES, "riscv64", "qemu-ovmf-x86_64"),
    ],
)
def test_firmware_is_of_the_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, release: str, arch: str, name: str
) -> None:
    told_by(tmp_path / "os-release", release, monkeypatch)
    assert firmware_package(arch) == name


def test_a_host_that_says_nothing_is_told_all_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_packages, "OS_RELEASE", ())
    assert package("qemu-img").startswith("qemu-utils (Debian; ")
