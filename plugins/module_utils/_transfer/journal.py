# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a download knows of its partial file, so that the next run goes on there instead of at the start."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from .._files import fingerprint, remove, remove_halves, state_dir, state_top, write_bytes

_BOOT_ID = "/proc/sys/kernel/random/boot_id"
_MOST_BYTES = 64 << 10


@dataclass(frozen=True)
class Position:
    """How far a download is. `done` bytes are written, `synced` of them survive a power cut.

    `source` names what is downloaded, `validators` what its server said. `complete` holds, when all has come, what the
    download found, and `made` the partial file's fingerprint at that moment.
    """

    source: dict[str, Any]
    validators: dict[str, Any]
    inode: int
    boot: str
    done: int = 0
    synced: int = 0
    complete: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)


def boot_id() -> str:
    """What tells two starts of the machine apart."""
    with open(_BOOT_ID, encoding="ascii") as stream:
        return stream.read().strip()


class Journal:
    """The position of the download to `path`, kept in the state directory."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._name = f"{hashlib.sha256(os.fsencode(path)).hexdigest()[:32]}.json"

    def save(self, position: Position) -> None:
        """Write the position; `done` needn't survive the machine, so nothing is flushed."""
        write_bytes(self._file(), json.dumps(asdict(position)).encode(), durable=False)

    def forget(self) -> None:
        """There is nothing to go on with any more."""
        remove(self._file())
        remove_halves(os.path.dirname(self._file()))

    @property
    def exists(self) -> bool:
        """Whether a position is kept; nothing is made."""
        return os.path.exists(os.path.join(state_top(), "downloads", self._name))

    def load(self, source: dict[str, Any]) -> Position | None:
        """The position of a download of `source` whose partial file is still there and ours."""
        try:
            with open(self._file(), "rb") as stream:
                found = Position(**json.loads(stream.read(_MOST_BYTES)))
            status = os.lstat(self._path)
        except (FileNotFoundError, ValueError, TypeError):
            return None
        if found.source != source or (status.st_ino, status.st_uid) != (found.inode, os.geteuid()):
            return None
        if found.boot == boot_id():
            return found
        # What was not flushed may be gone.
        return Position(found.source, found.validators, found.inode, found.boot, found.synced, found.synced)

    def untouched(self, position: Position) -> bool:
        """Whether the finished partial file is as it was when it was finished."""
        found = fingerprint(self._path)
        return bool(position.made) and found is not None and found.as_dict() == position.made

    def _file(self) -> str:
        return os.path.join(state_dir("downloads"), self._name)
