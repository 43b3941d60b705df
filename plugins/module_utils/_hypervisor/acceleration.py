# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which accelerator a new VM gets, and why.

A device node that opens proves nothing: on a CPU without hardware virtualization KVM makes a VM and then fails to run it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from dataclasses import dataclass

from .._errors import Unsupported

KVM_DEVICE = "/dev/kvm"
CPU_INFO = "/proc/cpuinfo"
_X86 = ("x86_64", "i686", "i386")


@dataclass(frozen=True)
class Acceleration:
    """`kind` is kvm or tcg (or the engine's own, such as test); `reason` says why in a few words."""

    kind: str
    reason: str

    @property
    def domain_type(self) -> str:
        """The `type` of libvirt's <domain>."""
        return "qemu" if self.kind == "tcg" else self.kind

    def as_dict(self) -> dict[str, str]:
        return {"type": self.kind, "reason": self.reason}


def kvm_obstacle(*, arch: str, device: str = KVM_DEVICE, cpu_info: str = CPU_INFO) -> str:
    """Why KVM can't work here; an empty string when it can."""
    try:
        os.close(os.open(device, os.O_RDWR | os.O_CLOEXEC))
    except OSError as error:
        return f"{device} can't be opened ({(error.strerror or 'unknown error').lower()})"
    if arch not in _X86:
        return ""
    with open(cpu_info, encoding="ascii", errors="replace") as stream:
        flags = set(re.findall(r"\b(?:vmx|svm)\b", stream.read(1 << 20)))
    return "" if flags else "the CPU has neither vmx nor svm"


def choose(wanted: str, *, offered: Collection[str], arch: str, obstacle: str) -> Acceleration:
    """The accelerator for `wanted` (auto, kvm, tcg); `offered` are the domain types that the engine has.

    Raises Unsupported where KVM is demanded and can't work.
    """
    if offered and not {"kvm", "qemu"} & set(offered):
        return Acceleration(min(offered), "the hypervisor has no other type of domain")
    if wanted == "tcg":
        return Acceleration("tcg", "as told")
    why = obstacle or ("" if "kvm" in offered else f"libvirt offers no KVM for {arch} here")
    if not why:
        return Acceleration("kvm", "as told" if wanted == "kvm" else "KVM works here")
    if wanted == "kvm":
        raise Unsupported(f"acceleration: kvm can't work on this host: {why}; use auto or tcg.")
    return Acceleration("tcg", why)
