# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is at the destination of a conversion, be it a file or a block device, and what we know of its making."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._files import fingerprint
from .._formats.chain import Link, inspect_chain
from .._qemu.node import is_block_device
from .._records import Record, read_record, untouched, write_record
from .convert_device import is_blank
from .device_mark import device_size, read_mark, renew_mark
from .ownership import ownership_of


@dataclass(frozen=True)
class Found:
    """`record` is None when it isn't known who made the image; `clean` when nothing wrote to it since it was made.

    `unfinished` is a device of which an earlier run of ours wrote only a part.
    """

    record: Record | None
    clean: bool
    unfinished: bool = False


def is_there(path: str) -> bool:
    """Whether there is something at `path` that a conversion would replace; a blank device is as good as nothing."""
    if is_block_device(path):
        return read_mark(path) is not None or not is_blank(path)
    return fingerprint(path) is not None


def find(path: str) -> Found:
    """What we know of the image at `path`."""
    if not is_block_device(path):
        record = read_record(path)
        return Found(record, untouched(path, record))
    mark = read_mark(path)
    return Found(None, False) if mark is None else Found(mark.record, mark.clean, mark.unfinished)


def keep_record(path: str, record: Record) -> None:
    """Let `record` tell of the image at `path`, whose bytes stay."""
    if is_block_device(path):
        renew_mark(path, record)
    else:
        write_record(path, record)


def top_link(path: str, format: str) -> Link:
    """The image at `path` without what is below it; a device without a signature of its own can be raw only."""
    # What a raw disk on a device holds is the guest's.
    declared = "raw" if is_block_device(path) and format == "raw" else None
    return inspect_chain(path, declared=declared)[0]


def facts_of(path: str, format: str) -> dict[str, Any]:
    """What is at `path`, as results tell it; nothing when there is nothing to replace."""
    if not is_there(path):
        return {}
    facts, record = top_link(path, format).facts, find(path).record
    device = is_block_device(path)
    return {
        "dest": path,
        "format": facts.format,
        "virtual_size": record.virtual_size if device and record else facts.virtual_size,
        "allocated_size": device_size(path) if device else os.stat(path).st_blocks * 512,
        "options": record.options if record else {},
        **ownership_of(path),
    }
