# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of a containerDisk: found under /disk in the layers of a container's image, which are read as streams and never unpacked."""

from __future__ import annotations

import hashlib
import os
import posixpath
from collections.abc import Iterator
from typing import Callable

from .._catalog.container import is_index, layers_of, manifest_for
from .._catalog.digest import Descriptor, digest_text
from .._catalog.image import load_manifest
from .._errors import Conflict, NotFound, TransferError, UnsafeImage
from .._formats.reader import MAX_VIRTUAL_SIZE
from .._registry.interface import Store
from .._transfer.decompress import compression_of, decompressed, joined
from .._transfer.sparse import SparseWriter
from .._transfer.tar_stream import TarStream

_FOLDER = "disk"
_PIECE = 1 << 20
_REQUEST = 4 << 20
_MOST_MEMBERS = 100_000
# Told how many bytes of layers came since the last call.
Report = Callable[[int], None]


def container_layers(store: Store, digest: str) -> list[Descriptor]:
    """The layers of the container's image for this machine, the top one first."""
    where = f"{store.where}@{digest}"
    manifest = load_manifest(store.manifest(digest)[1], where=where)
    if is_index(manifest):
        manifest = load_manifest(
            store.manifest(manifest_for(manifest, os.uname().machine, where=where))[1], where=where
        )
    return layers_of(manifest, where=where)


def extract_disk(store: Store, layers: list[Descriptor], wanted: str, path: str, *, report: Report) -> str:
    """Write the disk, the only one or the `wanted` one, into the new file `path`; its name.

    Raises UnsafeImage, Conflict or NotFound for what is no containerDisk, or holds several disks.
    """
    names: list[str] = []
    for layer in layers:
        stream = _LayerStream(store, layer, report)
        for name, content in _disks(stream, store.where):
            # A layer hides what the ones below it have under the same name.
            if name in names or (wanted and name != wanted):
                continue
            if names:
                raise Conflict(
                    f"disk: {store.where} holds several disks ({names[0]}, {name}, ...); name the one that is meant with 'disk'."
                )
            names.append(name)
            _write(content, path, name)
        stream.require_whole()
    if not names:
        raise NotFound(f"{store.where} holds no disk {wanted or 'in its folder /disk'}, so it is no containerDisk.")
    return names[0]


class _LayerStream:
    """A layer's tar as a stream; what came is compared with the digest when all has come."""

    def __init__(self, store: Store, layer: Descriptor, report: Report) -> None:
        self._store = store
        self._layer = layer
        self._report = report
        self._state = hashlib.sha256()
        self._position = 0
        self._left = memoryview(b"")
        start = self._fetch(_REQUEST)
        kind = compression_of(start)
        source = joined(start, self._fetch)
        shown = f"{store.where}: the layer {layer.digest}"
        self._pieces = decompressed(kind, source, where=shown) if kind else iter(lambda: source(_PIECE), b"")

    def _fetch(self, count: int) -> bytes:
        length = min(max(count, _REQUEST), self._layer.size - self._position)
        data = self._store.read_blob(self._layer.digest, self._position, length) if length > 0 else b""
        self._position += len(data)
        self._state.update(data)
        self._report(len(data))
        return data

    def read(self, count: int) -> bytes:
        """Up to `count` bytes of the tar."""
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        data, self._left = self._left[:count], self._left[count:]
        return bytes(data)

    def require_whole(self) -> None:
        """Read the rest; raises TransferError when what came has another digest."""
        while self.read(_PIECE):
            pass
        while self._fetch(_REQUEST):
            pass
        if digest_text(self._state.digest()) != self._layer.digest:
            raise TransferError(
                f"{self._store.where}: the layer {self._layer.digest} is damaged: what came has another digest."
            )


def _disks(stream: _LayerStream, where: str) -> Iterator[tuple[str, TarStream]]:
    """Name and content of every file in the folder for disks; links and devices are refused there."""
    archive = TarStream(stream.read, most=_MOST_MEMBERS, where=f"{where}: a layer")
    for member in archive:
        name = _disk_name(member.name)
        if not name or member.is_folder:
            continue
        if not member.is_plain:
            raise UnsafeImage(f"{where}: /disk/{name} is a link, a device or a sparse member, and no plain file.")
        yield name, archive


def _disk_name(path: str) -> str:
    """The name in the folder for disks, empty for everything else; marks of removed files (.wh.) are none."""
    folder, name = posixpath.split(posixpath.normpath(path).lstrip("/"))
    return name if folder == _FOLDER and not name.startswith(".wh.") and name.isprintable() else ""


def _write(content: TarStream, path: str, name: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        writer = SparseWriter(handle)
        while piece := content.read(_PIECE):
            writer.write(piece)
            if writer.position > MAX_VIRTUAL_SIZE:
                raise UnsafeImage(f"The disk {name} is longer than any disk.")
        writer.sync()
    finally:
        os.close(handle)
