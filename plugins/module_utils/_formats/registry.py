# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parser belongs to which format; loaded when a file needs it, since most runs meet one or two formats."""

from __future__ import annotations

from typing import Callable

from .facts import Draft
from .reader import Reader

Parser = Callable[[Reader, Draft], None]


def parser_of(name: str) -> Parser:
    """The parser of a format; formats without one are only named."""
    return _PARSERS.get(name, _foreign)()


def _raw() -> Parser:
    from .raw import parse

    return parse


def _qcow2() -> Parser:
    from .qcow2 import parse

    return parse


def _vmdk() -> Parser:
    from .vmdk import parse

    return parse


def _vhd() -> Parser:
    from .vhd import parse

    return parse


def _vhdx() -> Parser:
    from .vhdx import parse

    return parse


def _vdi() -> Parser:
    from .vdi import parse

    return parse


def _qed() -> Parser:
    from .qed import parse

    return parse


def _luks() -> Parser:
    from .luks import parse

    return parse


def _foreign() -> Parser:
    from .foreign import parse

    return parse


_PARSERS: dict[str, Callable[[], Parser]] = {
    "raw": _raw,
    "qcow2": _qcow2,
    "vmdk": _vmdk,
    "vhd": _vhd,
    "vhdx": _vhdx,
    "vdi": _vdi,
    "qed": _qed,
    "luks": _luks,
}
