# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A published file becomes a local one: hashed as it arrives, decompressed on the way, gone on with after a break."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Callable

from .._errors import Conflict, InvalidOption, TransferError
from .._faults import fault_point
from .._files import fingerprint, remove, require_space
from .bounds import Room
from .checksum import DEFAULT, Checksum, Digest, new_digest
from .decompress import compression_of, decompressed, joined
from .journal import Journal, Position, boot_id
from .sparse import SparseWriter
from .stream import BLOCK, Clock, ContentChanged, RateLimit, Source, Validators

_RESTARTS = 3
_SAVE_SECONDS, _SYNC_SECONDS = 1.0, 30.0
_LEAST_BLOCK = 64 << 10


@dataclass(frozen=True)
class Wanted:
    """What is downloaded: `identity` names it in the journal, `shown` in messages. `most` bounds the decompressed bytes."""

    shown: str
    identity: dict[str, Any]
    checksum: Checksum | None
    most: int
    bandwidth: int | None = None


@dataclass(frozen=True)
class Downloaded:
    """What came: `size` published bytes with this checksum; `resumed` of them by an earlier run."""

    checksum: str
    size: int
    compression: str
    resumed: int = 0
    validators: dict[str, Any] = field(default_factory=dict)


class Download:
    """Fetches `source` into the hidden file `path`. `begun` gets the total bytes (0: unknown), `report` those that came."""

    def __init__(
        self,
        wanted: Wanted,
        source: Source,
        path: str,
        *,
        clock: Clock,
        begun: Callable[[int], None],
        report: Callable[[int], None],
    ) -> None:
        self._wanted = wanted
        self._source = source
        self._path = path
        self._clock = clock
        self._begun = begun
        self._report = report
        self._journal = Journal(path)
        self._digest: Digest = new_digest(self._algorithm)
        self._limit = RateLimit(clock, wanted.bandwidth)
        self._synced, self._synced_bytes = clock.now(), 0

    @property
    def _algorithm(self) -> str:
        return self._wanted.checksum.algorithm if self._wanted.checksum else DEFAULT

    def run(self) -> Downloaded:
        """The file, complete and with the checksum that was asked for.

        After a TransferError the partial file stays where a later run can go on with it; after anything else it goes.
        """
        try:
            return self._finished() or self._attempts()
        except TransferError:
            if not self._can_go_on():
                self.discard()
            raise
        except BaseException:
            self.discard()
            raise
        finally:
            self._source.close()

    @contextlib.contextmanager
    def used_up(self) -> Iterator[None]:
        """The time in which what came is used, at whose end it goes.

        Only when an option was wrong, which nobody could know before, it stays for the next run.
        """
        try:
            yield
        except InvalidOption:
            raise
        except BaseException:
            self.discard()
            raise
        self.discard()

    def discard(self) -> None:
        """Remove the partial file and all that is known of it."""
        remove(self._path)
        self._journal.forget()

    def _can_go_on(self) -> bool:
        position = self._journal.load(self._wanted.identity)
        return position is not None and position.done > 0

    def _finished(self) -> Downloaded | None:
        """What an earlier run downloaded to its end, when the checksum proves that it is what is wanted now."""
        position = self._journal.load(self._wanted.identity)
        wanted = self._wanted.checksum
        if position is None or wanted is None or position.complete.get("checksum") != wanted.text:
            return None
        same = position.boot == boot_id() and self._journal.untouched(position)
        return replace(Downloaded(**position.complete), resumed=position.complete["size"]) if same else None

    def _attempts(self) -> Downloaded:
        for _attempt in range(_RESTARTS):
            try:
                return self._once(self._journal.load(self._wanted.identity))
            except ContentChanged:
                self._source.close()
                self.discard()
        raise TransferError(
            f"{self._wanted.shown} changes while it is read; run the task again when its server gives one content."
        )

    def _once(self, position: Position | None) -> Downloaded:
        resumed = 0 if position is None or position.complete.get("compression") else position.done
        if not resumed:
            self.discard()
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | (0 if resumed else os.O_CREAT | os.O_EXCL)
        handle = os.open(self._path, flags, 0o600)
        try:
            os.ftruncate(handle, resumed)
            self._digest = new_digest(self._algorithm)
            self._hash_again(handle, resumed)
            self._source.open(resumed, Validators(**position.validators) if position and resumed else None)
            return self._received(handle, resumed)
        finally:
            os.close(handle)

    def _hash_again(self, handle: int, count: int) -> None:
        """The digest's state died with the run that had it."""
        done = 0
        while done < count:
            data = os.pread(handle, min(BLOCK, count - done), done)
            if not data:
                raise ContentChanged(f"{self._path} is shorter than it was.")
            self._digest.update(data)
            done += len(data)

    def _received(self, handle: int, resumed: int) -> Downloaded:
        """Take what comes to its end, and compare the checksum before anybody reads it as an image."""
        source, size = self._source, max(self._source.validators.size, 0)
        self._begun(size)
        require_space(self._path, size - resumed, what=self._wanted.shown)
        writer = SparseWriter(handle, resumed)
        room = Room(self._path, self._wanted.shown, self._wanted.most)
        start = b"" if resumed else self._read(BLOCK)
        kind = compression_of(start) if source.compressible else ""
        if kind:
            for data in decompressed(kind, joined(start, self._read), where=self._wanted.shown):
                room.take(writer, data)
                fault_point("fetch:decompressing")
        else:
            self._copy(start, writer, room)
        writer.end()
        found = Checksum(self._algorithm, self._digest.hexdigest())
        self._compare(found)
        done = Downloaded(found.text, source.position, kind, resumed, source.validators.as_dict())
        self._save(writer, complete=asdict(done))
        fault_point("fetch:downloaded")
        return done

    def _read(self, count: int) -> bytes:
        data = self._source.read(min(count, self._block))
        self._digest.update(data)
        self._limit.passed(len(data))
        self._report(self._source.position)
        return data

    @property
    def _block(self) -> int:
        """With a limit, about a second's bytes: a server must not think that we are gone."""
        return min(BLOCK, max(_LEAST_BLOCK, self._wanted.bandwidth or BLOCK))

    def _copy(self, data: bytes, writer: SparseWriter, room: Room) -> None:
        """Write what comes as it is, and note from time to time how far that is."""
        saved = self._clock.now()
        while data or (data := self._read(BLOCK)):
            room.take(writer, data)
            data = b""
            if self._clock.now() - saved >= _SAVE_SECONDS:
                self._save(writer)
                saved = self._clock.now()
                fault_point("fetch:downloading")
        self._save(writer)

    def _save(self, writer: SparseWriter, *, complete: dict[str, Any] | None = None) -> None:
        if self._clock.now() - self._synced >= _SYNC_SECONDS:
            writer.sync()
            self._synced, self._synced_bytes = self._clock.now(), writer.position
        made = fingerprint(self._path)
        if made is None:
            raise Conflict(f"{self._path} was removed by somebody else during the download; run the task again.")
        position = Position(
            source=self._wanted.identity,
            validators=self._source.validators.as_dict(),
            inode=made.ino,
            boot=boot_id(),
            done=writer.position,
            synced=self._synced_bytes,
            complete=complete or {},
            made=made.as_dict() if complete else {},
        )
        self._journal.save(position)

    def _compare(self, found: Checksum) -> None:
        wanted = self._wanted.checksum
        if wanted is not None and wanted != found:
            raise Conflict(
                f"checksum: {self._wanted.shown} has the {found.algorithm} digest {found.digest}, and {wanted.digest} is asked for; "
                f"what came was thrown away. Give the digest of this file, or find out who changed it."
            )
