# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML of strangers: no document type, so no entities and nothing read from elsewhere; bounded length, depth and number of elements."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.parsers import expat

from .._errors import UnsafeImage

Element = ElementTree.Element
MOST = 4 << 20
_DEEPEST, _MOST_ELEMENTS = 64, 50000


class _Stop(Exception):
    """What the document must not have."""


class _Guard:
    """Sees every token before a tree is made of them."""

    def __init__(self) -> None:
        self._depth = self._count = 0

    def begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        self._count += 1
        if self._depth > _DEEPEST:
            raise _Stop(f"its elements are nested deeper than {_DEEPEST}")
        if self._count > _MOST_ELEMENTS:
            raise _Stop(f"it has more than {_MOST_ELEMENTS} elements")

    def end(self, name: str) -> None:
        self._depth -= 1

    def document_type(self, *_told: object) -> None:
        raise _Stop("it has a document type declaration, which could read files or grow without end")


def parse(data: bytes, *, where: str) -> Element:
    """The root element; raises UnsafeImage for what is no sound XML, or more than a description has."""
    if len(data) > MOST:
        raise _unsafe(where, f"it is longer than {MOST} bytes")
    guard, parser = _Guard(), expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = guard.begin, guard.end
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = guard.document_type
    try:
        parser.Parse(data, True)
        return ElementTree.fromstring(data)
    except _Stop as stop:
        raise _unsafe(where, str(stop)) from None
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise _unsafe(where, f"it is not well-formed XML ({error})") from None


def _unsafe(where: str, why: str) -> UnsafeImage:
    return UnsafeImage(f"The descriptor of {where} can't be used: {why}; get the file again, or ask who made it.")
