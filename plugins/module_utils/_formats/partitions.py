# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which partition table a disk has, and what is unsound about it. Nothing of it is trusted; it is only told."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from . import gpt, mbr
from .facts import Draft
from .mbr import Partition
from .reader import Reader
from .rules import finding

TOLD = 3


def describe(image: Reader, draft: Draft) -> None:
    """Note the table of a raw disk."""
    problems: list[str] = []
    table = _table(image, problems)
    if table:
        found: list[Partition] = table["partitions"]
        problems += _bounds(found, draft.virtual_size)
        draft.partition_table = {**table, "partitions": [asdict(one) for one in found]}
    if problems:
        draft.findings.append(finding("unsound-partitions", " ".join(problems[:TOLD])))


def _table(image: Reader, problems: list[str]) -> dict[str, Any] | None:
    """A GPT counts only behind its protective MBR, as it does for the kernel."""
    rows = mbr.read_rows(image)
    if not rows:
        return None
    if any(row.kind == mbr.PROTECTIVE for row in rows):
        found = gpt.read(image, problems)
        if found:
            return found
    return {"type": "mbr", "partitions": mbr.partitions(image, rows, problems)}


def _bounds(found: list[Partition], size: int) -> list[str]:
    """Partitions past the end of the disk, and partitions that share bytes; an extended one holds its logical ones."""
    holders = {f"{kind:#04x}" for kind in (*mbr.EXTENDED, mbr.PROTECTIVE)}
    plain = sorted((one for one in found if one.type not in holders), key=lambda one: one.start)
    told = [
        f"Partition {one.number} ends at byte {one.start + one.size}, the disk at {size}."
        for one in plain
        if one.start + one.size > size
    ]
    return told + [
        f"The partitions {one.number} and {other.number} share bytes."
        for one, other in zip(plain, plain[1:])
        if one.start + one.size > other.start
    ]
