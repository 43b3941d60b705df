# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML by path, never by string: parse (a DTD is refused), read, set, serialise."""

from __future__ import annotations

import functools
import re
from xml.etree import ElementTree

from .._errors import InvalidOption, UnsafeImage

Element = ElementTree.Element

IMAGEOPS = "https://imageops.fleet/domain/1"
ElementTree.register_namespace("imageops", IMAGEOPS)
ElementTree.register_namespace("qemu", "http://libvirt.org/schemas/domain/qemu/1.0")
ElementTree.register_namespace("dnsmasq", "http://libvirt.org/schemas/network/dnsmasq/1.0")
ElementTree.register_namespace("libosinfo", "http://libosinfo.org/xmlns/libvirt/domain/1.0")

_MOST = 4 << 20
# The depth that libxml2, and so libvirt, reads.
_DEEPEST = 256
_STEP = re.compile(r"^(?P<tag>[^\[\]]+)(?P<predicates>(\[@[\w:.-]+='[^']*'\])*)\Z")
_PREDICATE = re.compile(r"\[@([\w:.-]+)='([^']*)'\]")


def parse(text: str, *, option: str = "xml") -> Element:
    """The root element of `text`; raises UnsafeImage for a DTD, InvalidOption for text that isn't XML."""
    if len(text) > _MOST:
        raise InvalidOption(f"{option}: the XML is longer than 4 MiB; a description is never that long.")
    # Entities can only be declared in a DTD, so without one there is nothing that expands or reads files.
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UnsafeImage(f"{option}: the XML has a document type declaration, which could read files; remove it.")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise InvalidOption(f"{option}: this is not well-formed XML: {error}.") from None
    if _is_deep(root):
        raise InvalidOption(f"{option}: elements are nested deeper than {_DEEPEST}, and libvirt reads no such XML.")
    return root


def _is_deep(root: Element) -> bool:
    level, depth = [root], 0
    while level and depth <= _DEEPEST:
        level, depth = [child for element in level for child in element], depth + 1
    return bool(level)


def serialise(root: Element) -> str:
    """The text of `root`."""
    return ElementTree.tostring(root, encoding="unicode")


def canonical(root: Element) -> str:
    """A text that is the same for the same content: sorted attributes, no white space between elements."""
    return ElementTree.canonicalize(serialise(root), strip_text=True)


def clone(element: Element) -> Element:
    """The element with all it holds, to be changed: as copy.deepcopy gives it, several times as fast."""
    made = Element(element.tag, element.attrib.copy())
    made.text, made.tail = element.text, element.tail
    made.extend([clone(child) for child in element])
    return made


def alike(one: Element, other: Element, *, without: str = "") -> bool:
    """Whether two elements say the same, but for their own children called `without` and white space between elements."""
    if one.tag != other.tag or one.attrib != other.attrib or (one.text or "").strip() != (other.text or "").strip():
        return False
    mine, others = (
        [child for child in element if child.tag != without] if without else element for element in (one, other)
    )
    return len(mine) == len(others) and all(map(alike, mine, others))


@functools.lru_cache(maxsize=1024)
def _steps(path: str) -> tuple[tuple[str, ...], str]:
    """Elements of `path`, and the attribute that a last `/@name` names."""
    steps = tuple(re.findall(r"(?:[^/\[{]|\[[^\]]*\]|\{[^}]*\})+", path))
    if steps[-1].startswith("@"):
        return steps[:-1], steps[-1][1:]
    return steps, ""


def get(root: Element, path: str, default: str = "") -> str:
    """Text or attribute at `path`, such as `os/type` or `devices/disk[@device='cdrom']/target/@dev`."""
    steps, attribute = _steps(path)
    found = root.find("/".join(steps)) if steps else root
    if found is None:
        return default
    value = found.get(attribute) if attribute else (found.text or "").strip()
    return default if value is None else value


def ensure(root: Element, path: str) -> Element:
    """The element at `path`, made when missing (predicates become attributes)."""
    here = root
    for step in _steps(path)[0]:
        found = here.find(step)
        here = _add(here, step) if found is None else found
    return here


def _add(parent: Element, step: str) -> Element:
    match = _STEP.match(step)
    if not match:
        raise ValueError(f"{step!r} is not a step of a path")
    return ElementTree.SubElement(parent, match["tag"], dict(_PREDICATE.findall(match["predicates"])))


def put(root: Element, path: str, value: str | None) -> None:
    """Set text or attribute at `path`; None removes the attribute, or the element with all it holds."""
    if value is None:
        drop(root, path)
        return
    attribute = _steps(path)[1]
    element = ensure(root, path)
    if attribute:
        element.set(attribute, value)
    else:
        element.text = value


def drop(root: Element, path: str) -> None:
    """Remove the attribute, or every element, at `path`."""
    steps, attribute = _steps(path)
    if attribute:
        for element in root.findall("/".join(steps)) if steps else [root]:
            element.attrib.pop(attribute, None)
        return
    for parent in root.findall("/".join(steps[:-1])) if steps[:-1] else [root]:
        for element in parent.findall(steps[-1]):
            parent.remove(element)
