# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an interrupted publish has stored already: which packs it began to send, and what is in them.

A pack is noted before it is sent. So the next run of the task takes those that came whole for known, and can tell what it sends again.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from .._catalog.digest import digest_bytes, digest_text, is_digest
from .._files import is_partial, remove, state_dir, state_top, write_bytes

_FOLDER = "publishes"
_NAMING = "naming"
_SIZE = struct.Struct("<Q")
_BLOCK = struct.Struct("<32sII")
# Nobody goes on with what lies here longer.
_KEPT_SECONDS = 7 * 86400.0
# A note that is missing costs a reading.
_NOTES_KEPT_SECONDS = 180 * 86400.0


@dataclass(frozen=True)
class SentPack:
    """A pack that was sent, or began to be: digest, size, and digest, offset and length of each block."""

    digest: str
    size: int
    blocks: Sequence[tuple[bytes, int, int]]


def publish_key(reference: str) -> str:
    """What names the files that are kept of publishes of `reference`."""
    return hashlib.sha256(reference.encode()).hexdigest()[:32]


def spool_folder(reference: str) -> str:
    """Where a publish writes what is too large for memory; a job's `leaves` may have it."""
    return os.path.join(state_top(), _FOLDER, f"{publish_key(reference)}.spool")


def note_path(reference: str) -> str:
    """Where the note of the last publish is."""
    return os.path.join(state_top(), _FOLDER, f"{publish_key(reference)}.json")


class PublishJournal:
    """The packs that publishes of one reference sent since the last one that ended."""

    def __init__(self, reference: str) -> None:
        self._folder = os.path.join(state_top(), _FOLDER, publish_key(reference))

    @property
    def there(self) -> bool:
        """Whether a publish has not ended, or was killed when the image had its names already."""
        return os.path.isdir(self._folder)

    def note(self, pack: SentPack) -> None:
        """The pack is about to be sent."""
        state_dir(_FOLDER)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        data = _SIZE.pack(pack.size) + b"".join(_BLOCK.pack(*block) for block in pack.blocks)
        write_bytes(os.path.join(self._folder, digest_bytes(pack.digest).hex()), data, durable=False)

    def naming(self, digest: str) -> None:
        """The image is about to get its names."""
        state_dir(_FOLDER)
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        write_bytes(os.path.join(self._folder, _NAMING), digest.encode(), durable=False)

    @property
    def named(self) -> str:
        """Digest of the image that an interrupted run was giving its names; nothing when there was none."""
        with contextlib.suppress(FileNotFoundError), open(os.path.join(self._folder, _NAMING), "rb") as stream:
            return stream.read().decode("ascii", "replace")
        return ""

    def load(self) -> Iterator[SentPack]:
        """The packs that were noted; what a power cut left of a note is none."""
        if not os.path.isdir(self._folder):
            return
        for name in sorted(os.listdir(self._folder)):
            if is_partial(name) or not is_digest(f"sha256:{name}"):
                continue
            with open(os.path.join(self._folder, name), "rb") as stream:
                data = stream.read()
            if len(data) > _SIZE.size and (len(data) - _SIZE.size) % _BLOCK.size == 0:
                blocks = list(_BLOCK.iter_unpack(data[_SIZE.size :]))
                yield SentPack(digest_text(bytes.fromhex(name)), _SIZE.unpack_from(data)[0], blocks)

    def forget(self) -> None:
        """All is published."""
        shutil.rmtree(self._folder, ignore_errors=True)


def tidy_journals() -> None:
    """Remove what publishes left that nobody went on with, and notes of what nobody published for long."""
    for entry in os.scandir(state_dir(_FOLDER)):
        age = time.time() - entry.stat(follow_symlinks=False).st_mtime
        if entry.is_dir(follow_symlinks=False):
            if age > _KEPT_SECONDS:
                shutil.rmtree(entry.path, ignore_errors=True)
        elif age > _NOTES_KEPT_SECONDS:
            remove(entry.path)
