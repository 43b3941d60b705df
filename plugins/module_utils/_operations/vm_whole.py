# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole domain XML from the task: identity and active disk layers of the domain that is there are kept.

libvirt completes and rewrites what it is given, so the XML that it holds is compared by parts: every element and attribute
that was declared must be in it. What libvirt itself changed right after a definition is noted in our metadata.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator

from .._errors import Conflict, InvalidOption
from .._files import real_path, same_path
from .._hypervisor.sources import source_path
from .._hypervisor.xml import IMAGEOPS, Element, canonical, drop, get, parse, put
from .vm_disks import Attached
from .vm_labels import OURS

_DECLARED = f"{OURS}/{{{IMAGEOPS}}}xml/@sha256"
_REWRITTEN = f"{OURS}/{{{IMAGEOPS}}}xml/@rewritten"
# What tells children of one name apart; otherwise their order does.
_KEYS = {"disk": "target/@dev", "interface": "mac/@address", "feature": "@name", "timer": "@name"}


def declared_root(text: str, *, name: str) -> Element:
    """The task's XML; raises InvalidOption when it isn't the description of the VM `name`."""
    root = parse(text)
    if root.tag != "domain":
        raise InvalidOption(f"xml: the root element is <{root.tag}>, and a VM's is <domain>.")
    found = get(root, "name")
    if found and found != name:
        raise InvalidOption(f"xml: the XML describes the VM {found}, and name says {name}; use one name.")
    put(root, "name", name)
    return root


def digest(root: Element) -> str:
    """Names the declared XML: the same for the same content."""
    return hashlib.sha256(canonical(root).encode()).hexdigest()


def merged(declared: Element, existing: Element | None, attached: Attached) -> Element:
    """The XML to define: the declared one with UUID, MACs and active layers of the existing domain."""
    root = copy.deepcopy(declared)
    put(root, _DECLARED, digest(declared))
    if existing is None:
        return root
    keep_uuid(root, existing)
    _keep_macs(root, existing)
    _keep_layers(root, existing, attached)
    return root


def keep_uuid(root: Element, existing: Element) -> None:
    """Have the UUID of the domain that is there; raises Conflict for another one."""
    uuid = get(existing, "uuid")
    if get(root, "uuid", uuid).lower() != uuid:
        raise Conflict(
            f"xml: the VM {get(existing, 'name')} has the UUID {uuid}; leave <uuid> out, or remove the VM first."
        )
    put(root, "uuid", uuid)


def _keep_macs(root: Element, existing: Element) -> None:
    """An interface without a MAC gets that of the interface in its place."""
    old = [get(element, "mac/@address") for element in existing.findall("devices/interface")]
    for element, mac in zip(root.findall("devices/interface"), old):
        if not get(element, "mac/@address") and mac:
            put(element, "mac/@address", mac)


def _keep_layers(root: Element, existing: Element, attached: Attached) -> None:
    """A declared file that is a lower layer of the disk now stays what it is; the disk keeps its active layer."""
    now = {get(disk, "target/@dev"): disk for disk in existing.findall("devices/disk")}
    for disk in root.findall("devices/disk"):
        target = get(disk, "target/@dev")
        path, current = source_path(disk.find("source")), attached.at(target)
        if not path or not current or not current.path or same_path(path, current.path):
            continue
        if real_path(path) in attached.layers(current):
            for name in ("source", "backingStore"):
                drop(disk, name)
            disk.append(copy.deepcopy(now[target].findall("source")[0]))
            put(disk, "driver/@type", current.format or None)


def is_current(wanted: Element, existing: Element) -> bool:
    """Whether the domain is what `wanted` (merged) declares, but for what libvirt rewrote when it was defined."""
    if get(wanted, _DECLARED) != get(existing, _DECLARED):
        return False
    known = set(get(existing, _REWRITTEN).split())
    return missing(wanted, existing) <= known


def note_rewritten(wanted: Element, defined: Element) -> Element:
    """Our metadata element for the domain just defined: with what libvirt made of the declared XML."""
    ours = copy.deepcopy(wanted.findall(OURS)[0])
    put(ours, f"{{{IMAGEOPS}}}xml/@rewritten", " ".join(sorted(missing(wanted, defined))))
    return ours


def missing(wanted: Element, existing: Element) -> set[str]:
    """Names of declared elements and attributes that the domain doesn't have so."""
    return set(_missing(wanted, existing, ""))


def _missing(wanted: Element, found: Element, place: str) -> Iterator[str]:
    declared, text = (wanted.text or "").strip(), (found.text or "").strip()
    if declared and declared != text:
        yield f"{place}={_short(text)}"
    for name, value in wanted.attrib.items():
        if found.get(name) != value:
            yield f"{place}/@{name}={_short(found.get(name, ''))}"
    for number, child in enumerate(wanted):
        if child.tag == "metadata":
            continue
        other = _partner(wanted, child, found)
        here = f"{place}/{child.tag}[{get(child, _KEYS[child.tag]) if child.tag in _KEYS else number}]".replace(
            " ", "_"
        )
        if other is None:
            yield here
        else:
            yield from _missing(child, other, here)


def _short(text: str) -> str:
    """Names what libvirt made of a declared text, so that a later change is seen."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _partner(parent: Element, child: Element, found: Element) -> Element | None:
    """The child of `found` that stands for `child`."""
    others = found.findall(child.tag)
    key = _KEYS.get(child.tag)
    if key:
        return next((other for other in others if get(other, key) == get(child, key)), None)
    place = parent.findall(child.tag).index(child)
    return others[place] if place < len(others) else None
