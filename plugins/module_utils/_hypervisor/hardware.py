# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a domain that aren't devices: memory, CPUs, machine; read as facts, set by path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from .._errors import InvalidOption
from .._sizes import format_size, parse_size
from .acceleration import Acceleration
from .channel import channel_in
from .devices import graphics_of, log_of
from .firmware import firmware, secure_boot
from .tpm import has_tpm
from .tuning import hugepages, pins
from .xml import Element, drop, get, put

# Names that <cpu mode> takes; any other is a CPU model.
CPU_MODES = ("host-passthrough", "host-model", "maximum")
# libvirt's units that mean something else in the options.
_UNITS = {"b": 1, "bytes": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12}


def skeleton(name: str, acceleration: Acceleration, *, arch: str, machine: str) -> Element:
    """A new domain with what every VM has."""
    root = Element("domain", {"type": acceleration.domain_type})
    put(root, "name", name)
    put(root, "os/type", "hvm")
    put(root, "os/type/@arch", arch)
    if machine:
        put(root, "os/type/@machine", machine)
    put(root, "os/boot/@dev", "hd")
    if acceleration.kind in ("kvm", "tcg"):
        _common_devices(root, arch)
    put(root, "clock/@offset", "utc")
    put(root, "devices", "")
    return root


def _common_devices(root: Element, arch: str) -> None:
    """Power button, entropy, memory balloon: what Linux guests expect."""
    if arch == "x86_64":
        put(root, "features/acpi", "")
        put(root, "features/apic", "")
    put(root, "devices/rng/@model", "virtio")
    put(root, "devices/rng/backend", "/dev/urandom")
    put(root, "devices/rng/backend/@model", "random")
    put(root, "devices/memballoon/@model", "virtio")


def memory(root: Element) -> int:
    """Bytes of memory at the start; libvirt's default unit is KiB."""
    text, unit = get(root, "memory", "0"), get(root, "memory/@unit", "KiB")
    factor = _UNITS.get(unit.lower())
    return parse_size(text, option="memory") * factor if factor else parse_size(f"{text}{unit}", option="memory")


def set_memory(root: Element, size: int) -> None:
    """Memory of `size` bytes, all of it from the start."""
    if memory(root) == size:
        return
    for name in ("memory", "currentMemory"):
        put(root, name, str(size // 1024))
        put(root, f"{name}/@unit", "KiB")


def vcpus(root: Element) -> int:
    """Virtual CPUs at the start; raises InvalidOption for XML that doesn't tell a number."""
    text = get(root, "vcpu", "1")
    if not re.fullmatch("[0-9]{1,9}", text):
        raise InvalidOption(f"xml: <vcpu> holds {text[:40]!a}, which is no number of CPUs; give one such as 2.")
    return int(text)


def set_vcpus(root: Element, number: int) -> None:
    """That many CPUs, all of them from the start; a topology that has another number goes."""
    if get(root, "vcpu") == str(number):
        return
    put(root, "vcpu", str(number))
    for path in ("vcpu/@current", "vcpus", "cpu/topology"):
        drop(root, path)


def cpu(root: Element) -> str:
    """The CPU's mode or model; `default` when none is told."""
    mode = get(root, "cpu/@mode")
    model = get(root, "cpu/model")
    return mode if mode in CPU_MODES else model or "default"


def set_cpu(root: Element, wanted: str) -> None:
    """A mode (host-passthrough, host-model, maximum), a model's name, or `default`."""
    if cpu(root) == wanted:
        return
    drop(root, "cpu")
    if wanted in CPU_MODES:
        put(root, "cpu/@mode", wanted)
    elif wanted != "default":
        put(root, "cpu/@mode", "custom")
        put(root, "cpu/@match", "exact")
        put(root, "cpu/model", wanted)


def machine(root: Element) -> str:
    """The machine type, such as pc-q35-7.2."""
    return get(root, "os/type/@machine")


def same_machine(found: str, wanted: str) -> bool:
    """Whether `found` is `wanted`, or a version of that family: libvirt replaces q35 and pc by the newest version."""
    family = {"pc": "pc-i440fx"}.get(wanted, wanted)
    return found == wanted or re.fullmatch(rf"(?:pc-)?{re.escape(family)}-\d[\w.+-]*", found) is not None


def acceleration_type(root: Element) -> str:
    """The accelerator as libvirt names it: kvm, qemu, or the engine's own type."""
    return root.get("type", "")


def acceleration(root: Element) -> str:
    """kvm, tcg, or the engine's own type."""
    kind = acceleration_type(root)
    return "tcg" if kind == "qemu" else kind


# What can be told of a domain without its disks and interfaces, by the names of the options of `vm`.
FACTS: dict[str, Callable[[Element], object]] = {
    "memory": lambda root: format_size(memory(root)),
    "vcpus": vcpus,
    "cpu": cpu,
    "machine": machine,
    "firmware": firmware,
    "secure_boot": secure_boot,
    "tpm": has_tpm,
    "hugepages": hugepages,
    "cpu_pinning": lambda root: {str(number): cpus for number, cpus in pins(root).items()},
    "acceleration": acceleration,
    "title": lambda root: get(root, "title"),
    "description": lambda root: get(root, "description"),
    "console": lambda root: bool(log_of(root)),
    "agent": channel_in,
    "graphics": graphics_of,
}


def facts(root: Element, names: Iterable[str] = tuple(FACTS)) -> dict[str, object]:
    """Those of FACTS that `names` names."""
    return {name: FACTS[name](root) for name in names}
