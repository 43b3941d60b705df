# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports that are compressed archives: gcp's disk.raw, Vagrant boxes, Incus images; and KubeVirt's containerDisk."""

from __future__ import annotations

import json
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import IO, Callable

from .._catalog.container_image import container_config, container_manifest
from .._catalog.digest import Descriptor, digest_of
from .._catalog.media_types import CONFIG, INDEX, MANIFEST
from .._faults import fault_point
from .._files import remove
from .._formats.deflate import vmdk_encoder
from .._formats.gathered_writes import GatheredWrites
from .._formats.guest_content import GuestContent
from .._formats.gzip_pieces import PIECE, Piece, compressed
from .._portable import incus, vagrant
from .._portable.tar_writer import (
    FOLDER,
    TarWriter,
    header,
    padding,
    sparse_header,
    sparse_header_size,
    trailer,
)
from .export_disks import write_compressed_qcow2, write_plain_qcow2
from .export_place import Made, new_file
from .export_work import Appended, Counted, Work

# What is looked at for holes, and what the map of a sparse file counts in.
_GRAIN = 64 << 10
_RUN = struct.Struct("<QQ")
_KUBEVIRT_USER = 107
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_REF = "org.opencontainers.image.ref.name"


def write_gcp(work: Work) -> list[Made]:
    """disk.raw in a tar of GNU's old format, sparse as `tar --format=oldgnu -S` makes it, compressed by gzip.

    The map of what holds data stands in front of the data, and may be huge: it is kept in a file that has no name.
    """
    disk, size = work.disks[0], work.size(work.disks[0])
    with tempfile.TemporaryFile(dir=os.path.dirname(work.path)) as kept:
        count = data = 0
        for start, stop in _runs(disk.content, size):
            kept.write(_RUN.pack(start, stop))
            count, data = count + 1, data + stop - start
        head = sparse_header_size(count)
        end = padding(data) + trailer(head + data + -data % 512)

        def pieces() -> Iterator[Piece]:
            blocks = sparse_header("disk.raw", size, _kept_runs(kept), data=data)
            while some := b"".join(islice(blocks, PIECE // 512)):
                yield partial(bytes, some)
            for start, stop in _kept_runs(kept):
                for at in range(start, stop, PIECE):
                    yield partial(_exactly, disk.content, at, min(PIECE, stop - at))
            yield lambda: end

        work.begin(disk)
        return [_gzip(work, pieces(), total=head + data + len(end))]


def _kept_runs(kept: IO[bytes]) -> Iterator[tuple[int, int]]:
    kept.seek(0)
    while data := kept.read(_RUN.size):
        yield _RUN.unpack(data)


def _exactly(content: GuestContent, at: int, count: int) -> bytes:
    return content.read(at, count)


def _runs(content: GuestContent, size: int) -> Iterator[tuple[int, int]]:
    """Offset and end of what holds data, in whole grains but for the disk's end, which is filled up to a block of the tar.

    The last one reaches the end of the file of `size` bytes, by no bytes where that is a hole.
    """
    start = stop = -1
    last = -(-content.size // 512) * 512
    for begin, end in content.extents():
        begin, end = begin // _GRAIN * _GRAIN, min(-(-end // _GRAIN) * _GRAIN, last)
        if begin <= stop:
            stop = max(stop, end)
            continue
        if stop > start >= 0:
            yield start, stop
        start, stop = begin, end
    if stop > start >= 0:
        yield start, stop
    if stop != size:
        yield size, size


def write_box(work: Work) -> list[Made]:
    """A Vagrant box: what tells of it first, so that a reader needn't pass over the disks."""
    machine = work.request.machine
    texts = [("metadata.json", vagrant.metadata(machine)), ("Vagrantfile", vagrant.vagrantfile(machine))]
    count = len(work.disks)
    return _tarball(work, texts, [vagrant.disk_name(number, count) for number in range(count)])


def write_incus(work: Work) -> list[Made]:
    """A unified image; its time is that of the last write to the disk."""
    created = max(one.get("mtime_ns", 0) for one in work.disks[0].disk.files) // 10**9
    return _tarball(work, [(incus.METADATA, incus.metadata(work.request.machine, created=created))], [incus.DISK])


def _tarball(work: Work, texts: Sequence[tuple[str, bytes]], names: Sequence[str]) -> list[Made]:
    """A tar.gz of texts and of disks as qcow2; a disk's size must be known before it, so it is written beside first."""
    sizes, handles = [], list[int]()
    paths = [f"{work.spare}{number}" for number in range(len(names))]
    try:
        for path, disk in zip(paths, work.disks):
            with new_file(path) as handle:
                write_plain_qcow2(work, disk, handle)
                handles.append(os.dup(handle))
                sizes.append(os.fstat(handle).st_size)
            fault_point("export:disk-written")
        fixed = [header(name, len(data)) + data + padding(len(data)) for name, data in texts]
        total = sum(map(len, fixed)) + sum(512 + size + -size % 512 for size in sizes)
        last = trailer(total)

        def pieces() -> Iterator[Piece]:
            yield lambda: b"".join(fixed)
            for name, handle, size in zip(names, handles, sizes):
                yield partial(header, name, size)
                for at in range(0, size, PIECE):
                    yield partial(_read, handle, at, min(PIECE, size - at))
                yield partial(padding, size)
            yield lambda: last

        work.progress.phase("pack", total=total)
        return [_gzip(work, pieces(), total=total)]
    finally:
        for handle in handles:
            os.close(handle)
        for path in paths:
            remove(path)


def _read(handle: int, at: int, count: int) -> bytes:
    found = os.pread(handle, count, at)
    while len(found) < count:
        more = os.pread(handle, count - len(found), at + len(found))
        if not more:
            raise OSError(5, "a file of ours became shorter", "")
        found += more
    return found


def _gzip(work: Work, pieces: Iterator[Piece], *, total: int) -> Made:
    with new_file(work.path) as handle:
        file, done = Appended(handle), 0
        counted = Counted(file.write)
        for plain, member in compressed(pieces, vmdk_encoder()):
            counted.write(member)
            done += plain
            work.progress.update(min(done, total))
            fault_point("export:while-packing")
        file.close()
    return Made(os.path.basename(work.request.dest), counted.size, counted.digest)


def write_container(work: Work) -> list[Made]:
    """An OCI archive with a containerDisk, as `skopeo copy oci-archive:` and `podman load` take it.

    The disk is a compressed qcow2, so its layer isn't compressed once more.
    """
    disk, path = work.disks[0], f"{work.spare}0"
    try:
        with new_file(path) as handle:
            write_compressed_qcow2(work, disk, handle)
            fault_point("export:disk-written")
            size = os.fstat(handle).st_size
            work.progress.phase("pack", total=size)
            return [_oci_archive(work, handle, size)]
    finally:
        remove(path)


def _oci_archive(work: Work, disk: int, size: int) -> Made:
    with new_file(work.path) as handle:
        sink = GatheredWrites(handle)
        tar = TarWriter(sink)
        layer = Descriptor(_LAYER, "", 0)

        def fill(append: Callable[[bytes], None]) -> None:
            nonlocal layer
            counted = Counted(append)
            counted.write(header("disk", 0, kind=FOLDER, mode=0o555, owner=_KUBEVIRT_USER))
            counted.write(header(f"disk/{work.request.base}.qcow2", size, mode=0o440, owner=_KUBEVIRT_USER))
            for at in range(0, size, PIECE):
                counted.write(_read(disk, at, min(PIECE, size - at)))
                work.progress.update(at)
                fault_point("export:while-packing")
            counted.write(padding(size) + bytes(1024))
            layer = Descriptor(_LAYER, f"sha256:{counted.digest}", counted.size)

        tar.file("oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        tar.member(lambda: _blob(layer.digest), fill)
        config = container_config(machine=work.request.machine.arch, diff_id=layer.digest, labels={})
        told = container_manifest(Descriptor(CONFIG, digest_of(config), len(config)), layer)
        for data in (config, told):
            tar.file(_blob(digest_of(data)), data)
        manifest = {
            "mediaType": MANIFEST,
            "digest": digest_of(told),
            "size": len(told),
            "annotations": {_REF: "latest"},
        }
        index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [manifest]}
        tar.file("index.json", json.dumps(index).encode())
        tar.end()
        sink.flush()
        os.fsync(handle)
        return Made(os.path.basename(work.request.dest), tar.at)


def _blob(digest: str) -> str:
    return f"blobs/sha256/{digest.partition(':')[2]}"
