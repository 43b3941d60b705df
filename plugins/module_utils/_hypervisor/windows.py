# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Windows guests expect of a domain: the hypervisor's enlightenments, a clock on local time, a pointer that stays in step."""

from __future__ import annotations

from collections.abc import Collection

from .xml import Element, put

# By name in libvirt's domain capabilities, with the attributes that each has besides state='on'.
_ENLIGHTENMENTS: dict[str, dict[str, str]] = {
    "relaxed": {},
    "vapic": {},
    "spinlocks": {"retries": "8191"},
    "vpindex": {},
    "runtime": {},
    "synic": {},
    "stimer": {},
    "reset": {},
    "frequencies": {},
    "tlbflush": {},
    "ipi": {},
}
# What one needs another for (QEMU's docs/system/i386/hyperv.rst).
_NEEDS = {"synic": {"vpindex"}, "stimer": {"vpindex", "synic"}, "tlbflush": {"vpindex"}, "ipi": {"vpindex"}}
_TIMERS = {"rtc": {"tickpolicy": "catchup"}, "pit": {"tickpolicy": "delay"}, "hpet": {"present": "no"}}


def set_windows(root: Element, *, offered: Collection[str], kvm: bool) -> None:
    """Set what a new Windows VM has by default; `offered` are the enlightenments that the host has."""
    for name, attributes in _ENLIGHTENMENTS.items():
        if name in offered and _NEEDS.get(name, set()) <= set(offered):
            for key, value in {"state": "on", **attributes}.items():
                put(root, f"features/hyperv/{name}/@{key}", value)
    if root.find("features/hyperv") is not None:
        put(root, "features/hyperv/@mode", "custom")
    put(root, "clock/@offset", "localtime")
    # The clock of the enlightenments is one of KVM's.
    timers = {**_TIMERS, "hypervclock": {"present": "yes"}} if kvm else _TIMERS
    for name, attributes in timers.items():
        for key, value in attributes.items():
            put(root, f"clock/timer[@name='{name}']/@{key}", value)
    put(root, "devices/input[@type='tablet']/@bus", "usb")
