# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bytes to facts: find the signatures, compare them with what was declared, let one parser read."""

from __future__ import annotations

from typing import BinaryIO

from .facts import Draft, ImageFacts
from .names import canonical_format
from .reader import SECTOR, Malformed, Reader
from .registry import parser_of
from .rules import finding
from .signatures import VHD, signatures


def inspect(stream: BinaryIO, *, size: int, declared: str | None = None) -> ImageFacts:
    """The facts of one image. Never fails on its bytes: what is wrong with them is among the findings."""
    image = Reader(stream, size)
    found = signatures(image)
    wanted = canonical_format(declared) if declared else None
    draft = Draft(format=_chosen(found, wanted))
    try:
        parser_of(draft.format)(image, draft)
    except Malformed as error:
        draft.findings.append(finding(error.rule, str(error)))
    _compare(draft, found, wanted)
    _second_signatures(image, draft, found)
    return draft.frozen()


def _chosen(found: list[str], wanted: str | None) -> str:
    """A declared format decides where the file carries it, and raw always can be; else what the file shows."""
    if wanted == "raw" or wanted in found:
        return str(wanted)
    return found[0] if found else "raw"


def _compare(draft: Draft, found: list[str], wanted: str | None) -> None:
    if wanted not in (None, "raw") and wanted not in found:
        draft.findings.append(
            finding(
                "format-contradiction",
                f"The image was declared as {wanted}, its content is {draft.format}; correct that, or use another image.",
            )
        )


def _second_signatures(image: Reader, draft: Draft, found: list[str]) -> None:
    others = [name for name in found if name != draft.format]
    if draft.format == "raw" or draft.variant == "fixed" and draft.format == "vhd":
        draft.findings += [
            finding(
                "second-signature",
                f"The {draft.format} image carries the signature of {name}: its guest "
                f"or its maker disguised it, or it is {name}; declare what it is.",
            )
            for name in others
        ]
        return
    # The guest's own data may end a file with eight telling letters; a whole footer with its checksum is no accident.
    others = [name for name in others if name != "vhd" or _ends_as_vhd(image)]
    others += ["iso9660"] if _carries_iso(image, draft) else []
    others += ["boot sector"] if draft.header_area >= SECTOR and _boots(image, draft) else []
    draft.findings += [
        finding("polyglot", f"The file is {draft.format} and {name} at once; do not use it.") for name in others
    ]


def _ends_as_vhd(image: Reader) -> bool:
    from .vhd import valid_footer_at_end

    return image.upto(0, 8) == VHD or valid_footer_at_end(image)


def _carries_iso(image: Reader, draft: Draft) -> bool:
    from .iso9660 import MAGIC_AT, has_iso

    return draft.header_area > MAGIC_AT and has_iso(image)


def _boots(image: Reader, draft: Draft) -> bool:
    """Whether a BIOS would start the file; in a LUKS header the two bytes of its mark are random salt."""
    from .mbr import has_boot_mark, read_rows

    return bool(read_rows(image)) if draft.format == "luks" else has_boot_mark(image)
