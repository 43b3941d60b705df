# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host holds of images from catalogs: a note per file that a pull made, believed only as far as the file's record goes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .._catalog.variables import read_variables
from .._files import remove, state_dir, state_top, write_bytes
from .._records import Record, read_record, untouched

if TYPE_CHECKING:
    from .._catalog.image import DiskEntry

OPERATION = "pull"
_FOLDER = "held"
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class HeldImage:
    """A disk of an image in a file of this host.

    `reference` is how it was asked for, `digest` its manifest's. `content` is the digest of the disk's content and `size` its
    virtual size in bytes; `segments` name its part of the block index, each number and digest. `valid` when the file is there and as
    it was made.
    """

    path: str
    reference: str
    digest: str
    disk: str
    format: str
    content: str
    size: int
    segments: Sequence[tuple[int, str]] = field(default=(), repr=False)
    valid: bool = False


def held_images() -> list[HeldImage]:
    """All that is noted and still there, by path."""
    return sorted(_noted(), key=lambda held: held.path)


def note_held(path: str, record: Record, disk: DiskEntry) -> None:
    """Note that the file `path`, which carries `record`, holds `disk`."""
    source = record.source
    held = HeldImage(
        path, source["reference"], source["manifest"], disk.name, record.format, disk.content, disk.size,
        [(entry.number, entry.digest) for entry in disk.segments],
    )  # fmt: skip
    told = {name: value for name, value in asdict(held).items() if name != "valid"}
    write_bytes(os.path.join(state_dir(_FOLDER), _name(path)), json.dumps(told).encode())


def forget_held(path: str) -> None:
    """The file holds no image of a catalog any more."""
    note = os.path.join(state_top(), _FOLDER, _name(path))
    if os.path.exists(note):
        remove(note)


def tidy_held() -> None:
    """Forget files that are gone."""
    folder = state_dir(_FOLDER)
    for name in _names(folder):
        held = _read(os.path.join(folder, name))
        if held is not None and not os.path.exists(held.path):
            remove(os.path.join(folder, name))


def is_noted(path: str) -> bool:
    """Whether there is a note of the file."""
    return os.path.exists(os.path.join(state_top(), _FOLDER, _name(path)))


def segments_here() -> set[str]:
    """The digests of all segments that noted images name."""
    return {digest for held in held_images() for _number, digest in held.segments}


def variables_here() -> set[str]:
    """The digests of all UEFI variables that came with noted images."""
    records = (pulled_record(held.path) for held in held_images())
    told = (read_variables(record.source, where=record.operation) for record in records if record)
    return {variables.content for variables in told if variables}


def pulled_record(path: str) -> Record | None:
    """The record of a file that a pull made, None for any other."""
    record = read_record(path)
    return record if record is not None and record.operation == OPERATION else None


def _noted() -> Iterator[HeldImage]:
    folder = os.path.join(state_top(), _FOLDER)
    for name in _names(folder):
        held = _read(os.path.join(folder, name))
        if held is not None and os.path.exists(held.path):
            yield held


def _names(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")]
    except FileNotFoundError:
        return []


def _read(note: str) -> HeldImage | None:
    try:
        with open(note, "rb") as stream:
            told: dict[str, Any] = json.loads(stream.read(_MOST_BYTES))
        segments = [(int(number), str(digest)) for number, digest in told.pop("segments")]
        held = HeldImage(**told, segments=segments)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None
    record = pulled_record(held.path)
    named = record is not None and (record.source.get("content"), record.format) == (held.content, held.format)
    return HeldImage(**{**held.__dict__, "valid": named and untouched(held.path, record)})


def _name(path: str) -> str:
    return f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
