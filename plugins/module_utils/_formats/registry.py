# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which parser belongs to which format, and which signatures a file carries."""

from __future__ import annotations

from typing import Callable

from . import foreign, luks, qcow2, qcow2_header, qed, raw, vdi, vhd, vhdx, vmdk
from .facts import Draft
from .reader import Reader

Parser = Callable[[Reader, Draft], None]

PARSERS: dict[str, Parser] = {
    "raw": raw.parse,
    "qcow2": qcow2.parse,
    "vmdk": vmdk.parse,
    "vhd": vhd.parse,
    "vhdx": vhdx.parse,
    "vdi": vdi.parse,
    "qed": qed.parse,
    "luks": luks.parse,
}


def parser_of(name: str) -> Parser:
    """The parser of a format; formats without one are only named."""
    return PARSERS.get(name, foreign.parse)


def signatures(image: Reader) -> list[str]:
    """Every disk format that a reader could take this file for, the one at the start first."""
    tests = {
        "qcow2": image.upto(0, 4) == qcow2_header.MAGIC and image.upto(0, 8) != foreign.SIGNATURES["qcow"],
        "vmdk": vmdk.is_vmdk(image),
        "vhdx": image.upto(0, 8) == vhdx.MAGIC,
        "vdi": image.upto(vdi.SIGNATURE_AT, 4) == vdi.SIGNATURE,
        "qed": image.upto(0, 4) == qed.MAGIC,
        "luks": luks.is_luks(image),
        "vhd": bool(vhd.footer_places(image)),
    }
    found = [name for name in ("qcow2", "vmdk", "vhdx", "vdi", "qed", "luks") if tests[name]] + foreign.foreign_formats(
        image
    )
    return ["vhd"] + found if tests["vhd"] and image.upto(0, 8) == vhd.COOKIE else found + ["vhd"] * tests["vhd"]
