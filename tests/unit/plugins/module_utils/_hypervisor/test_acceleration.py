# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.acceleration import choose, kvm_obstacle


@pytest.mark.parametrize(
    ("flags", "arch", "obstacle"),
    [
        ("fpu vmx sse", "x86_64", ""),
        ("fpu svm sse", "x86_64", ""),
        ("fpu sse", "x86_64", "the CPU has neither vmx nor svm"),
        ("fpu vmxnet svm_lock", "x86_64", "the CPU has neither vmx nor svm"),
        ("", "aarch64", ""),
    ],
)
def test_an_open_device_is_not_enough(tmp_path: Path, flags: str, arch: str, obstacle: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"flags : {flags}\n")
    (tmp_path / "kvm").write_text("")
    assert kvm_obstacle(arch=arch, device=str(tmp_path / "kvm"), cpu_info=str(tmp_path / "cpuinfo")) == obstacle


def test_a_missing_device(tmp_path: Path) -> None:
    assert "can't be opened (no such file" in kvm_obstacle(arch="x86_64", device=str(tmp_path / "kvm"))


@pytest.mark.parametrize(
    ("wanted", "offered", "obstacle", "kind", "domain_type"),
    [
        ("auto", {"kvm", "qemu"}, "", "kvm", "kvm"),
        ("auto", {"kvm", "qemu"}, "no vmx", "tcg", "qemu"),
        ("auto", {"qemu"}, "", "tcg", "qemu"),
        ("tcg", {"kvm", "qemu"}, "", "tcg", "qemu"),
        ("kvm", {"kvm", "qemu"}, "", "kvm", "kvm"),
        ("auto", {"test"}, "", "test", "test"),
    ],
)
def test_choose(wanted: str, offered: set[str], obstacle: str, kind: str, domain_type: str) -> None:
    chosen = choose(wanted, offered=offered, arch="x86_64", obstacle=obstacle)
    assert (chosen.kind, chosen.domain_type) == (kind, domain_type)
    assert chosen.reason


@pytest.mark.parametrize(
    ("offered", "obstacle"), [({"kvm", "qemu"}, "the CPU has neither vmx nor svm"), ({"qemu"}, "")]
)
def test_kvm_that_cannot_work_is_refused(offered: set[str], obstacle: str) -> None:
    with pytest.raises(Unsupported, match="acceleration: kvm can't work on this host"):
        choose("kvm", offered=offered, arch="x86_64", obstacle=obstacle)
