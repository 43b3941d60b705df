# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A part of a domain's or a network's XML merged into the whole by path: what it says is set, everything else stays.

An element of which a parent has many is found by what identifies it (`_MANY`); one that nothing identifies counts as there when
some element of its kind has all that it says, and is appended else. Any other element is its parent's only one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from .xml import Element, alike, clone, get

_DNSMASQ = "{http://libvirt.org/schemas/network/dnsmasq/1.0}"
_QEMU = "{http://libvirt.org/schemas/domain/qemu/1.0}"
# Elements of which a parent may have many, and the paths that tell them apart; none where nothing does.
_MANY: dict[str, tuple[str, ...]] = {
    "devices/disk": ("target/@dev",),
    "devices/interface": ("mac/@address",),
    "devices/controller": ("@type", "@index"),
    "devices/filesystem": ("target/@dir",),
    "devices/channel": ("target/@name",),
    "devices/serial": ("target/@port",),
    "devices/parallel": ("target/@port",),
    "devices/console": ("target/@port", "target/@type"),
    "devices/input": ("@type", "@bus"),
    "devices/graphics": ("@type",),
    "devices/sound": ("@model",),
    "devices/audio": ("@id",),
    "devices/shmem": ("@name",),
    "devices/hostdev": (),
    "devices/redirdev": (),
    "devices/smartcard": (),
    "devices/hub": (),
    "devices/memory": (),
    "devices/panic": (),
    "devices/rng": (),
    "devices/video": (),
    "devices/watchdog": (),
    "channel/source": (),
    "graphics/listen": (),
    "graphics/channel": ("@name",),
    "os/boot": ("@dev",),
    "firmware/feature": ("@name",),
    "cpu/feature": ("@name",),
    "numa/cell": ("@id",),
    "cputune/vcpupin": ("@vcpu",),
    "cputune/iothreadpin": ("@iothread",),
    "cputune/vcpusched": ("@vcpus",),
    "vcpus/vcpu": ("@id",),
    "numatune/memnode": ("@cellid",),
    "iothreadids/iothread": ("@id",),
    "hugepages/page": ("@size", "@unit"),
    "clock/timer": ("@name",),
    "vlan/tag": ("@id",),
    "domain/seclabel": ("@model",),
    "sysinfo/oemStrings": (),
    "system/entry": ("@name",),
    "bios/entry": ("@name",),
    "blkiotune/device": ("path",),
    # Of networks.
    "network/ip": ("@address",),
    "network/route": ("@address",),
    "network/portgroup": ("@name",),
    "dhcp/range": ("@start",),
    "dhcp/host": ("@ip",),
    "dns/host": ("@ip",),
    "dns/forwarder": ("@domain", "@addr"),
    "dns/txt": ("@name",),
    "dns/srv": ("@service", "@protocol", "@target"),
    "host/hostname": (),
    "forward/interface": ("@dev",),
    "forward/pf": ("@dev",),
    "forward/address": (),
}
# Lists whose order and repetition count: set as a whole.
_WHOLE = (f"{_QEMU}commandline", f"{_QEMU}override", f"{_DNSMASQ}options")


@dataclass(frozen=True)
class Change:
    """One place that differs: `place` is its path, `found` names what was there without telling it."""

    place: str
    found: str

    def __str__(self) -> str:
        return f"{self.place}={self.found}"


def merge(whole: Element, part: Element) -> list[Change]:
    """Set all that `part` says in `whole`; the places where that changed something."""
    return list(_merge(whole, part, ""))


def _merge(whole: Element, part: Element, place: str) -> Iterator[Change]:
    for name, value in part.attrib.items():
        if not _same(whole.get(name), value, f"{_local(whole)}/@{name}"):
            yield Change(f"{place}/@{name}", _name(whole.get(name, "")))
            whole.set(name, value)
    text = (part.text or "").strip()
    if text and text != (whole.text or "").strip():
        yield Change(place, _name((whole.text or "").strip()))
        whole.text = text
    for number, child in enumerate(part):
        yield from _child(whole, child, f"{place}/{_step(part, child, number)}")


def _child(whole: Element, child: Element, place: str) -> Iterator[Change]:
    others = whole.findall(child.tag)
    if child.tag in _WHOLE:
        if any(alike(other, child) for other in others):
            return
        for other in others:
            whole.remove(other)
    else:
        found = _partner(others, child, _MANY.get(f"{_local(whole)}/{child.tag}"))
        if found is not None:
            yield from _merge(found, child, place)
            return
    yield Change(place, "")
    # Elements of a kind stand together: guests count disks and cards in that order.
    places = [number for number, other in enumerate(whole) if other.tag == child.tag]
    whole.insert(places[-1] + 1 if places else len(whole), clone(child))


def _partner(others: list[Element], child: Element, keys: tuple[str, ...] | None) -> Element | None:
    """The element that `child` speaks of, None when it has to be made."""
    if keys is None:
        return others[0] if others else None
    told = [(key, get(child, key)) for key in keys if get(child, key)]
    if told:
        return next((one for one in others if all(_same(get(one, key), value, key) for key, value in told)), None)
    return next((other for other in others if _holds(other, child)), None)


def _same(one: str | None, other: str, path: str) -> bool:
    """Whether two values at `path` say the same; libvirt writes the addresses of cards in lower case."""
    return one == other or (path == "mac/@address" and one is not None and one.lower() == other.lower())


def _holds(whole: Element, part: Element) -> bool:
    """Whether `whole` says all that `part` says."""
    text = (part.text or "").strip()
    if any(whole.get(name) != value for name, value in part.attrib.items()) or text not in (
        "",
        (whole.text or "").strip(),
    ):
        return False
    left = list(whole)
    for child in part:
        found = next((other for other in left if other.tag == child.tag and _holds(other, child)), None)
        if found is None:
            return False
        left.remove(found)
    return True


def _step(parent: Element, child: Element, number: int) -> str:
    keys = _MANY.get(f"{_local(parent)}/{child.tag}", ())
    told = [get(child, key) for key in keys if get(child, key)]
    return f"{_local(child)}[{','.join(told) if told else number}]".replace(" ", "_")


def _local(element: Element) -> str:
    return element.tag.rpartition("}")[2]


def _name(text: str) -> str:
    """Names a value, which may be a password, without telling it."""
    return hashlib.sha256(text.encode()).hexdigest()[:12] if text else ""
