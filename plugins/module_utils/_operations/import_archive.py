# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An archive that is read as a stream, once: boxes, images of Incus, compressed OVA. Only its disks are stored, the rest is read or passed over."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Callable

from .._errors import UnsafeImage, Unsupported
from .._faults import fault_point
from .._formats.reader import MAX_VIRTUAL_SIZE
from .._jobs.progress import Progress
from .._transfer.decompress import decompressed
from .._transfer.sparse import SparseWriter
from .._transfer.tar_stream import TarStream
from .export_place import new_file
from .import_members import MOST_MEMBERS, Names

_PIECE = 1 << 20
_MOST_TEXT = 4 << 20
# All texts are in memory at once.
_MOST_TEXTS = 16 << 20
_MOST_DISKS = 64
_TEXTS = (".ovf", ".mf", ".cert", "metadata.json", "metadata.yaml")
DISKS = (".img", ".qcow2", ".raw", ".vmdk", ".vhd", ".vhdx", ".vdi")


@dataclass
class Taken:
    """What came of an archive: texts by name, and the files in which its disks are, by name; `passed` are names of what was not taken."""

    texts: dict[str, bytes] = field(default_factory=dict)
    disks: dict[str, str] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)

    @property
    def described(self) -> bool:
        """Whether it is an OVF package so far: of what follows its descriptor any file may be a disk, or be in the manifest."""
        return any(name.lower().endswith(".ovf") for name in self.texts)


@contextlib.contextmanager
def stream_of(path: str, compression: str, progress: Progress) -> Iterator[Callable[[int], bytes]]:
    """Reads the file's content, without its compression; progress is counted in what was read of the file."""
    with open(path, "rb", buffering=0) as stream:
        progress.phase("read", total=os.fstat(stream.fileno()).st_size)
        yield _reader(stream, path, compression, progress)


def _reader(stream: io.FileIO, path: str, compression: str, progress: Progress) -> Callable[[int], bytes]:
    done = 0

    def read(count: int) -> bytes:
        nonlocal done
        data = stream.read(count) or b""
        done += len(data)
        return data

    def told(data: bytes) -> bytes:
        progress.update(done)
        fault_point("import:while-extracting")
        return data

    if not compression:
        return lambda count: told(read(count))
    pieces = (told(piece) for piece in decompressed(compression, read, where=f"src: {path}"))
    rest = memoryview(b"")

    def unpacked(count: int) -> bytes:
        nonlocal rest
        if not rest:
            rest = memoryview(next(pieces, b""))
        data, rest = bytes(rest[:count]), rest[count:]
        return data

    return unpacked


def take_archive(path: str, compression: str, folder: str, progress: Progress) -> Taken:
    """Read the archive once; disks go into hidden files in `folder`. Raises UnsafeImage, or Unsupported for too many disks."""
    names, taken = Names(path), Taken()
    with stream_of(path, compression, progress) as read:
        archive = TarStream(read, most=MOST_MEMBERS, where=f"src: {path}")
        for member in archive:
            name = names.of(member)
            if name:
                _take(archive, name, member.size, path, folder, taken)
    return taken


def _take(archive: TarStream, name: str, size: int, path: str, folder: str, taken: Taken) -> None:
    low = name.lower()
    if low.endswith(_TEXTS):
        if size + sum(map(len, taken.texts.values())) > _MOST_TEXTS:
            raise UnsafeImage(f"src: {path} has more than {_MOST_TEXTS} bytes of texts.")
        taken.texts[name] = _text(archive, size, path, name)
    elif low.endswith(DISKS) or taken.described:
        if len(taken.disks) == _MOST_DISKS:
            raise Unsupported(f"src: {path} has more than {_MOST_DISKS} files with disks, which no machine here has.")
        taken.disks[name] = os.path.join(folder, f".member{len(taken.disks)}")
        store(iter(lambda: archive.read(_PIECE), b""), taken.disks[name], what=f"{name} in {path}")
    else:
        taken.passed.append(name)


def store(pieces: Iterator[bytes], path: str, *, what: str) -> None:
    """Write a disk as it comes; zeros take no room."""
    with new_file(path) as handle:
        writer = SparseWriter(handle)
        for piece in pieces:
            writer.write(piece)
            if writer.position > MAX_VIRTUAL_SIZE:
                raise UnsafeImage(f"src: {what} is longer than any disk.")
        writer.sync()


def _text(archive: TarStream, size: int, path: str, name: str) -> bytes:
    if size > _MOST_TEXT:
        raise UnsafeImage(f"src: {name} in {path} has {size} bytes, and a text of its kind at most {_MOST_TEXT}.")
    found = b""
    while piece := archive.read(_PIECE):
        found += piece
    return found
