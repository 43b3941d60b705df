# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of an OCI image layout as they lie on the disk: what is no regular file under its own name is neither read nor written."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO

from .._catalog.digest import digest_bytes, is_digest
from .._errors import Conflict, NotFound, TransferError, UnsafeImage
from .._files import is_partial, partial_path, publish, remove, write_bytes

# Other users, and a web server, read a catalog; blobs hold no secrets of the task.
FILE_MODE = 0o644
FOLDER_MODE = 0o755
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LINKS = (errno.ELOOP, errno.ENOTDIR, errno.EMLINK)
_PIECE = 1 << 20


def open_below(folder: str, *names: str) -> BinaryIO:
    """The regular file `names` below `folder`, reached without following a link; raises FileNotFoundError or UnsafeImage."""
    path = os.path.join(folder, *names)
    handle = os.open(folder, _FOLDER)
    for name in names[:-1]:
        handle = _step(handle, name, _FOLDER | os.O_NOFOLLOW, path)
    handle = _step(handle, names[-1], _FILE, path)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise _strange(path)
    return os.fdopen(handle, "rb", buffering=0)


def _step(handle: int, name: str, flags: int, path: str) -> int:
    try:
        return os.open(name, flags, dir_fd=handle)
    except OSError as error:
        if error.errno in _LINKS:
            raise _strange(path) from None
        error.filename = path
        raise
    finally:
        os.close(handle)


def _strange(path: str) -> UnsafeImage:
    return UnsafeImage(
        f"{path} is reached through a symbolic link, or is no regular file, which no catalog needs; put the file itself there."
    )


def read_below(folder: str, *names: str, most: int) -> bytes:
    """A small file whole; raises TransferError when it is longer than `most` bytes."""
    with open_below(folder, *names) as stream:
        size = os.fstat(stream.fileno()).st_size
        data = b"" if size > most else _exactly(stream.fileno(), 0, size)
    if size > most:
        raise TransferError(f"{os.path.join(folder, *names)} has {size} bytes, and at most {most} are read.")
    return data


def _exactly(handle: int, offset: int, length: int) -> bytes:
    """These bytes, fewer where the file ends."""
    first = os.pread(handle, length, offset)
    if len(first) == length or not first:
        return first
    pieces, at = [first], len(first)
    while at < length and (piece := os.pread(handle, length - at, offset + at)):
        pieces.append(piece)
        at += len(piece)
    return b"".join(pieces)


class BlobFolder:
    """The folder blobs/sha256 of a layout (OCI image specification 1.1, image-layout.md)."""

    def __init__(self, layout: str) -> None:
        self._layout = layout
        self.path = os.path.join(layout, "blobs", "sha256")

    def make(self) -> None:
        """Make the folders that are missing; raises Conflict when something else has their name."""
        for folder in (self._layout, os.path.dirname(self.path), self.path):
            _make_folder(folder)

    def open(self, digest: str) -> BinaryIO:
        """The blob; raises NotFound."""
        try:
            return open_below(self._layout, "blobs", "sha256", _name(digest))
        except FileNotFoundError:
            raise NotFound(f"dir:{self._layout} has no blob {digest}.") from None

    def status(self, digest: str) -> os.stat_result | None:
        """Status of a blob that is there."""
        try:
            with self.open(digest) as stream:
                return os.fstat(stream.fileno())
        except NotFound:
            return None

    def read(self, digest: str, offset: int, length: int) -> bytes:
        """Just these bytes; raises TransferError when the blob ends before."""
        with self.open(digest) as stream:
            data = _exactly(stream.fileno(), offset, length)
        if len(data) != length:
            raise TransferError(
                f"dir:{self._layout}: the blob {digest} is cut off: it ends before byte {offset + length}; publish the image again."
            )
        return data

    def write(self, digest: str, data: bytes) -> None:
        """Keep `data`, durably; one of this size that is there counts as new from now on."""
        if not self._renew(digest, len(data)):
            write_bytes(os.path.join(self.path, _name(digest)), data, mode=FILE_MODE)

    def write_file(self, digest: str, source: str, size: int) -> None:
        """Keep the content of the file `source`; raises TransferError when that has another digest."""
        if self._renew(digest, size):
            return
        path = os.path.join(self.path, _name(digest))
        partial = partial_path(path, suffix=f"-{os.getpid()}")
        try:
            _copy(source, partial, digest)
            publish(partial, path)
        finally:
            remove(partial)

    def _renew(self, digest: str, size: int) -> bool:
        """Whether the blob is there; it is kept from garbage collection for another while."""
        status = self.status(digest)
        if status is None or status.st_size != size:
            return False
        os.utime(os.path.join(self.path, _name(digest)))
        return True

    def remove(self, digest: str) -> None:
        """Remove the blob when it is there, durably."""
        remove(os.path.join(self.path, _name(digest)))

    def unlink(self, name: str) -> bool:
        """Remove one of `names`; whether it was there. Who calls flushes the folder."""
        try:
            os.unlink(os.path.join(self.path, name))
        except FileNotFoundError:
            return False
        return True

    def names(self) -> Iterator[tuple[str, os.stat_result]]:
        """Names and status of all blobs, and of what killed writers left; nothing else is told."""
        try:
            with os.scandir(self.path) as found:
                for entry in found:
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode) and (is_digest(f"sha256:{entry.name}") or is_partial(entry.name)):
                        yield entry.name, status
        except FileNotFoundError:
            return


def _name(digest: str) -> str:
    if not is_digest(digest):
        raise TransferError(f"'{digest[:80]}' is no sha256 digest, so it names no blob.")
    return digest_bytes(digest).hex()


def _make_folder(path: str) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        if not os.path.isdir(path):
            raise Conflict(f"{path} is in the way of a catalog: it is no folder; give another path.") from None
        return
    except FileNotFoundError:
        raise NotFound(f"The folder {os.path.dirname(path)} for the catalog does not exist; create it first.") from None
    os.chmod(path, FOLDER_MODE)


def _copy(source: str, partial: str, digest: str) -> None:
    state = hashlib.sha256()
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, FILE_MODE)
    with os.fdopen(handle, "wb") as target, open(source, "rb") as stream:
        os.fchmod(target.fileno(), FILE_MODE)
        while piece := stream.read(_PIECE):
            state.update(piece)
            target.write(piece)
    if f"sha256:{state.hexdigest()}" != digest:
        raise TransferError(f"{source} has other content than {digest}; it was written to meanwhile.")
