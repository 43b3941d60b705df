# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk of a containerDisk: found under /disk in the layers of a container's image, which are read as streams and never unpacked."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from .._catalog.container import is_index, layers_of, manifest_for
from .._catalog.digest import Descriptor
from .._catalog.image import load_manifest
from .._errors import Conflict, NotFound, TransferError, UnsafeImage
from .._files import require_space
from .._formats.reader import MAX_VIRTUAL_SIZE
from .._registry.interface import Store
from .._transfer.sparse import SparseWriter
from .._transfer.tar_stream import TarStream
from .bandwidth_limit import BandwidthLimit
from .image_pull_layer import LayerStream, Report
from .image_pull_members import Hidden, disk_name

_PIECE = 1 << 20
_QCOW2 = b"QFI\xfb"
_MOST_MEMBERS = 100_000


def container_layers(store: Store, digest: str) -> list[Descriptor]:
    """The layers of the container's image for this machine, the top one first."""
    where = f"{store.where}@{digest}"
    manifest = load_manifest(store.manifest(digest)[1], where=where)
    if is_index(manifest):
        manifest = load_manifest(
            store.manifest(manifest_for(manifest, os.uname().machine, where=where))[1], where=where
        )
    return layers_of(manifest, where=where)


def extract_disk(
    store: Store, layers: list[Descriptor], wanted: str, path: str, *, report: Report, limit: int | None = None
) -> str:
    """Write the disk, the only one or the `wanted` one, into the new file `path`; its name. `limit` is the most bytes a second.

    Raises UnsafeImage, Conflict or NotFound for what is no containerDisk, or holds several disks.
    """
    names: list[str] = []
    hidden = Hidden()
    sought = _Sought(store, wanted, path, report, BandwidthLimit(limit))
    for layer in layers:
        names, hides = _from_layer(sought, layer, names, hidden)
        hidden.add(hides)
        # What nobody sees needn't come.
        if hidden.all:
            break
    if not names:
        raise NotFound(f"{store.where} holds no disk {wanted or 'in its folder /disk'}, so it is no containerDisk.")
    return names[0]


@dataclass(frozen=True)
class _Sought:
    store: Store
    wanted: str
    path: str
    report: Report
    limit: BandwidthLimit


def _from_layer(sought: _Sought, layer: Descriptor, names: list[str], above: Hidden) -> tuple[list[str], Hidden]:
    """The disks that are found with that layer, and what it hides; a layer that a mirror damaged is asked for again."""
    while True:
        stream = LayerStream(sought.store, layer, sought.report, sought.limit)
        try:
            found = _taken(sought, stream, names, above)
            stream.require_whole()
            return found
        except (TransferError, UnsafeImage):
            if not (stream.is_damaged() and sought.store.doubt(layer.digest)):
                raise


def _taken(sought: _Sought, stream: LayerStream, names: list[str], above: Hidden) -> tuple[list[str], Hidden]:
    where, hides = sought.store.where, Hidden()
    archive = TarStream(stream.read, most=_MOST_MEMBERS, where=f"{where}: a layer")
    for member in archive:
        hides.note(member, where=where)
        name = disk_name(member, where=where)
        if not name or above.has(name) or (sought.wanted and name != sought.wanted):
            continue
        if names and name not in names:
            raise Conflict(
                f"disk: {where} holds several disks ({names[0]}, {name}, ...); name the one that is meant with 'disk'."
            )
        # Of two members of one name in a layer the last one counts.
        names = [name]
        _write(archive, member.size, sought.path, name)
    return names, hides


def require_layer_room(layers: Sequence[Descriptor], path: str, *, what: str) -> None:
    """Raise NoSpace where not even the packed disk would fit; how large it is in its file is known when its layer comes."""
    require_space(path, max(layer.size for layer in layers), what=what)


def _write(content: TarStream, size: int, path: str, name: str) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        writer = SparseWriter(handle)
        while piece := content.read(_PIECE):
            # Of a raw disk the zeros take no room, and how many there are nobody knows.
            if not writer.position and piece.startswith(_QCOW2):
                require_space(path, size, what=f"The disk {name}")
            writer.write(piece)
            if writer.position > MAX_VIRTUAL_SIZE:
                raise UnsafeImage(f"The disk {name} is longer than any disk.")
        writer.sync()
    finally:
        os.close(handle)
