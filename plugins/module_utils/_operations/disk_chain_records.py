# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The records of images whose chains were changed: true again, so that other modules see what is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .._formats.chain import Link
from .._qemu.image import Image
from .._records import Record, read_record, untouched
from .disk_chain_act import COMMITTED
from .inspection import identity_of

_BELOW = ("backing", "backing_format", "dropped")


@dataclass(frozen=True)
class Remembered:
    """The record of an image before the work, and whether the image was written to since it was made."""

    record: Record | None
    written: bool


def remember(path: str) -> Remembered:
    """Look before anything is written."""
    record = read_record(path)
    return Remembered(record, record is not None and not untouched(path, record))


def rested_on(
    top: Link, known: Remembered, *, below: Image | None, dropped: Sequence[str] = (), tool: str = ""
) -> Record:
    """The record of an image whose content is what it was, and whose backing file is now `below`.

    `dropped` are the files that it no longer needs, so that a later run can still remove them.
    """
    record = known.record or Record(
        operation="chain", format=top.facts.format, virtual_size=top.facts.virtual_size, tool=tool
    )
    options = {key: value for key, value in record.options.items() if key not in _BELOW}
    if below:
        options.update(backing=below.path, backing_format=below.format)
    if dropped:
        options["dropped"] = identity_of(dropped)
    return replace(record, options=options)


def committed_into(base: Link, known: Remembered, *, virtual_size: int, layers: Sequence[str], tool: str) -> Record:
    """The record of a file that took what `layers`, the overlay first, held."""
    below: dict[str, Any] = known.record.options if known.record else {}
    return Record(
        operation=COMMITTED,
        format=base.facts.format,
        virtual_size=virtual_size,
        source={"path": layers[0], "layers": identity_of(layers)},
        options={key: value for key, value in below.items() if key in _BELOW},
        tool=tool,
    )


def emptied(top: Link, into: Image, *, tool: str) -> Record:
    """The record of an overlay that was emptied by a commit."""
    return Record(
        operation=COMMITTED,
        format=top.facts.format,
        virtual_size=top.facts.virtual_size,
        options={"backing": into.path, "backing_format": into.format},
        tool=tool,
    )
