# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second phase of a conversion: which engine writes the image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Callable

from . import convert_copy, convert_qemu, convert_writer
from .convert_work import Work
from .inspection import Inspected


@dataclass(frozen=True)
class Engine:
    """A way to write the image: `method` is its name in results, which tell `details` too.

    `write` fills the empty target durably or raises; False says that this engine can't here, and nothing was written.
    """

    method: str
    write: Callable[[Work], bool | None]
    details: dict[str, str] = field(default_factory=dict)


def _reflink(work: Work) -> bool:
    return convert_copy.shares_blocks(work.target.path, work.source.pinned[work.source.path])


def _copy(work: Work) -> bool:
    if not convert_copy.copies_by_itself(work.source.path):
        return False
    convert_copy.copy_extents(work.target.path, work.source.pinned[work.source.path], work)
    return True


QEMU_IMG = Engine("qemu-img", convert_qemu.write)
OVERLAY = Engine("overlay", convert_qemu.overlay)
REFLINK = Engine("reflink", _reflink)
COPY = Engine("copy", _copy)


def choose(params: dict[str, Any], source: Inspected) -> Iterator[Engine]:
    """The engines that can make what the job's `params` describe, the fastest first; each gives the same content."""
    if params["method"] == OVERLAY.method:
        yield OVERLAY
        return
    if params["method"] != QEMU_IMG.method and source.pinned and convert_copy.suits(params, source):
        yield REFLINK
    if params["method"] == REFLINK.method:
        return
    if params["method"] != QEMU_IMG.method and source.pinned and convert_copy.suits(params, source):
        yield COPY
    writer = convert_writer.found_writer(params, source) if params["method"] != QEMU_IMG.method else None
    if writer:
        yield Engine(convert_writer.METHOD, partial(convert_writer.write, writer), writer.details)
    yield QEMU_IMG


def write(work: Work) -> dict[str, str]:
    """Let the first engine that can write the image; what the result tells of it."""
    for engine in choose(work.params, work.source):
        if engine.write(work) is not False:
            return {"method": engine.method, **engine.details}
    raise convert_copy.unshared(work.params["dest"], work.source)
