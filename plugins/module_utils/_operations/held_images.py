# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host holds of images from catalogs: a note per file that a pull made, believed only as far as the file's record goes."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .._catalog.variables import recorded_variables
from .._errors import Conflict
from .._files import remove, state_dir, state_top, write_bytes
from .._records import Record, read_record, untouched

if TYPE_CHECKING:
    from .._catalog.image import DiskEntry

OPERATION = "pull"
_FOLDER = "held"
_MOST_BYTES = 16 << 20
_TEXTS = ("path", "reference", "digest", "disk", "format", "content")


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
    return sorted((held for held in _noted() if os.path.exists(held.path)), key=lambda held: held.path)


def noted_images() -> list[HeldImage]:
    """All that is noted, also of files that are gone; raises Conflict for a note that can't be read."""
    return list(_noted(strict=True))


def held_by_record(path: str) -> HeldImage | None:
    """What the file's own record says that it holds, None for one that no pull made; raises Conflict for a newer record."""
    record = pulled_record(path)
    if record is None:
        return None
    reference, digest, disk, content = (
        str(record.source.get(name, "")) for name in ("reference", "manifest", "disk", "content")
    )
    valid = untouched(path, record)
    return HeldImage(path, reference, digest, disk, record.format, content, record.virtual_size, valid=valid)


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
    """The digests of all UEFI variables that came with noted images; raises Conflict for a record that can't be read."""
    records = (pulled_record(held.path) for held in held_images())
    told = (recorded_variables(record.source) for record in records if record)
    return {variables.content for variables in told if variables}


def pulled_record(path: str) -> Record | None:
    """The record of a file that a pull made, None for any other."""
    record = read_record(path)
    return record if record is not None and record.operation == OPERATION else None


def _noted(*, strict: bool = False) -> Iterator[HeldImage]:
    folder = os.path.join(state_top(), _FOLDER)
    for note in (os.path.join(folder, name) for name in _names(folder)):
        held = _read(note)
        if held is not None:
            yield held
        elif strict and os.path.exists(note):
            raise Conflict(
                f"{note} can't be read, so it isn't known which image this host holds there; update the collection on the controller, or "
                f"remove the note and pull the image to its file again."
            )


def _names(folder: str) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if name.endswith(".json") and not name.startswith(".")]
    except FileNotFoundError:
        return []


def _read(note: str) -> HeldImage | None:
    try:
        with open(note, "rb") as stream:
            told: dict[str, Any] = json.loads(stream.read(_MOST_BYTES))
        segments = [(int(number), str(digest)) for number, digest in told["segments"]]
        texts = {name: os.fsdecode(told[name]) for name in _TEXTS}
        # A newer version may tell more.
        held = HeldImage(**texts, size=int(told["size"]), segments=segments, valid=False)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return replace(held, valid=_is_valid(held))


def _is_valid(held: HeldImage) -> bool:
    try:
        record = pulled_record(held.path)
    except Conflict:
        # The record is newer than this version, so it isn't known; that concerns who uses the file.
        return False
    named = record is not None and (record.source.get("content"), record.format) == (held.content, held.format)
    return named and untouched(held.path, record)


def _name(path: str) -> str:
    return f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"
