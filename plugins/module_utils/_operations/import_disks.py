# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of an import, as the collection's own format has them: read where they are, also in the midst of an archive."""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, cast

from .._errors import UnsafeImage, Unsupported, named
from .._faults import fault_point
from .._formats.chain import OpenImage, open_image
from .._formats.encoder import Encoder
from .._formats.guest_content import GuestContent
from .._formats.qcow2_writer import write_qcow2
from .._formats.raw_writer import write_raw
from .._formats.reader import SECTOR
from .._jobs.progress import Progress
from .convert_images import needs_passphrase, source_image
from .export_place import new_file
from .import_members import Part
from .inspection import Inspected, inspect
from .pacing import paced
from .still_files import content_of

_CLUSTER, _VERSION = 64 << 10, 3
_PLAIN = Encoder("none", lambda data, most: None)


class _Window(io.RawIOBase):
    """The bytes of a file from `offset` on, as if they were one."""

    def __init__(self, handle: int, offset: int, size: int) -> None:
        super().__init__()
        self._handle, self._offset, self._size, self._at = handle, offset, size, 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = base + offset
        return self._at

    def fileno(self) -> int:
        return self._handle

    def read(self, count: int = -1) -> bytes:
        left = max(0, self._size - self._at)
        data = os.pread(self._handle, left if count < 0 else min(count, left), self._offset + self._at)
        self._at += len(data)
        return data


@dataclass(frozen=True)
class Source:
    """A disk of the import: where it is, what it is called in errors, the format that was declared (empty: its header tells), the size that
    the package says (0: nothing), and the open file that was proven, if it was: what the path names may be another one by now."""

    part: Part
    shown: str
    format: str = ""
    capacity: int = 0
    proven: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it is a file of its own."""
        return self.part.offset == 0 and self.part.size == os.stat(self.part.path).st_size


@dataclass(frozen=True)
class Target:
    """How the disks are written."""

    format: str
    bandwidth: int | None
    progress: Progress
    lock: int


def inspected(source: Source, handles: dict[str, int]) -> Inspected:
    """The disk, safe and held by `handles`, which who calls closes; raises UnsafeImage, for what isn't the size that was told too."""
    part = source.part
    if part.size % SECTOR and not source.whole:
        raise Unsupported(
            f"src: {source.shown} has {part.size} bytes, which are no whole sectors, so it can't be read where it is; unpack it, and import it "
            f"from there."
        )

    @contextlib.contextmanager
    def opener(path: str) -> Iterator[OpenImage]:
        own = os.path.realpath(path) == part.path
        with open_image(f"/proc/self/fd/{source.proven}" if own and source.proven is not None else path) as image:
            if own and part.path not in handles:
                handles[part.path] = os.dup(image.stream.fileno())
            if source.whole or not own:
                yield image
                return
            window = _Window(image.stream.fileno(), part.offset, part.size)
            yield replace(image, stream=cast(BinaryIO, window), size=part.size, allocated=part.size)

    with named(part.path, source.shown):
        found = inspect(part.path, declared=source.format or None, option="src", opener=opener)
    if needs_passphrase(found) or not found.virtual_size:
        raise UnsafeImage(f"src: {source.shown} is encrypted or holds no byte of a disk, and is not imported.")
    if source.proven is not None and len(found.files) > 1:
        raise UnsafeImage(
            f"src: {source.shown} rests on {found.files[1]}, and a package holds its disks whole; get it again."
        )
    if source.capacity not in (0, found.virtual_size):
        raise UnsafeImage(
            f"src: {source.shown} is a disk of {found.virtual_size} bytes, and the descriptor says {source.capacity}; get the package again."
        )
    return replace(found, pinned={path: handles[path] for path in found.files if path in handles})


def write(source: Source, path: str, target: Target) -> int:
    """Write the disk to the new file `path`; its size in bytes."""
    handles: dict[str, int] = {}
    try:
        image = inspected(source, handles)
        with _content(source, image, target.lock) as content:
            target.progress.phase(f"write {os.path.basename(path)}", total=content.size)
            report = paced(target.progress, target.bandwidth, fault="import:while-writing")
            with new_file(path) as handle:
                if target.format == "raw":
                    write_raw(content, handle, report=report)
                else:
                    write_qcow2(content, handle, cluster_size=_CLUSTER, version=_VERSION, encoder=_PLAIN, report=report)
    finally:
        for handle in handles.values():
            os.close(handle)
    fault_point("import:disk-written")
    return image.virtual_size


def take(source: Source, path: str, target: Target) -> int:
    """As `write`; a file of ours that is in the wanted format already only gets its name."""
    handles: dict[str, int] = {}
    try:
        image = inspected(source, handles)
    finally:
        for handle in handles.values():
            os.close(handle)
    if image.format != target.format or len(image.chain) > 1:
        return write(source, path, target)
    os.rename(source.part.path, path)
    fault_point("import:disk-written")
    return image.virtual_size


@contextlib.contextmanager
def _content(source: Source, inspected_image: Inspected, lock: int) -> Iterator[GuestContent]:
    image = source_image(inspected_image, passphrase=None)
    if not source.whole:
        image = replace(image, window=(source.part.offset, source.part.size))
    with content_of(image, inspected_image.virtual_size, shown=source.shown, lock=lock) as found:
        yield found
