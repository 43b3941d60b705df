# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The mark of a snapshot operation that is under way in an image: a hidden file beside it.

QEMU changes an image's reference counts first and its table of snapshots, or its L1 table, in one write; so a disk holds the
old content or the new at every moment, but counts may stay too high when QEMU dies. The mark says so, and the next run
puts them right.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Sequence

from .._errors import EngineError
from .._files import partial_path, remove, write_bytes
from .._qemu.image import Image
from .._qemu.image_check import repair_image
from .._records import read_record, write_record

_SUFFIX = "-snapshot"
# A table of snapshots and an L1 table take less, each rounded up to clusters of at most 2 MiB.
_BEYOND = 64 << 20


def mark_path(path: str) -> str:
    return partial_path(path, suffix=_SUFFIX)


def is_marked(path: str) -> bool:
    """Whether an operation began in the image and didn't end."""
    return os.path.exists(mark_path(path))


def set_mark(path: str, *, keeps: bool) -> None:
    """Say durably that an operation begins; `keeps` says that the record on the image stays true."""
    write_bytes(mark_path(path), json.dumps({"keeps": keeps}).encode(), alone=True)


def clear_mark(path: str) -> None:
    remove(mark_path(path))


def recover(image: Image, *, pass_fds: Sequence[int] = ()) -> None:
    """Give back what a dead operation left, and let the record be true again; nothing a guest sees changes."""
    with _longer(image.path):
        found = repair_image(image, "leaks", pass_fds=pass_fds)
    if not found.sound:
        raise EngineError(
            f"{image.path} is damaged beyond what an interrupted snapshot leaves: {'; '.join(found.messages) or 'see details'}; "
            f"look at it with imageops.fleet.disk_check.",
            check=found.as_dict(),
        )
    if _keeps(image.path):
        refresh_record(image.path)
    clear_mark(image.path)


@contextlib.contextmanager
def _longer(path: str) -> Iterator[None]:
    """Let the file `path` be longer meanwhile: clusters that QEMU counted and died before it wrote them lie behind its end, where
    `qemu-img check` doesn't look for leaks until a later operation has made the file longer."""
    size = os.path.getsize(path)
    os.truncate(path, size + _BEYOND)
    try:
        yield
    finally:
        # A repair of leaks takes no clusters, so all is where it was.
        os.truncate(path, size)


def refresh_record(path: str) -> None:
    """Let the record on `path`, if there is one, hold for the file as it is now."""
    record = read_record(path)
    if record:
        write_record(path, record)


def _keeps(path: str) -> bool:
    """What the mark says; a mark that can't be read says nothing."""
    try:
        with open(mark_path(path), encoding="utf-8") as stream:
            return bool(json.load(stream) == {"keeps": True})
    except ValueError:
        return False
