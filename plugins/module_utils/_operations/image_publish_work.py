# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks become blocks, blocks become packs and an index, and those become an image in a repository: the work of every publish."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Callable

from .._catalog.digest import Descriptor, digest_of
from .._catalog.image import DiskEntry, ImageConfig, ImageManifest, config_descriptor
from .._catalog.index_blob import Content, IndexBlob
from .._catalog.media_types import BLOCK_INDEX, PACK, VARIABLES
from .._catalog.packs import KnownBlocks, Place, packs_to_repack
from .._catalog.segment import BLOCK_SIZE
from .._errors import Conflict
from .._faults import fault_point
from .._formats.compress_pool import Batch, Block, packed
from .._formats.guest_content import GuestContent
from .._registry.interface import Store
from .._transfer.zstd import FrameCompressor
from .image_publish_journal import PublishJournal
from .image_publish_packer import Packer

_DIGEST = 32
# Called with how far in a disk the reading is.
Report = Callable[[int], None]


@dataclass(frozen=True)
class DiskSource:
    """A disk to publish: its name in the image, its content, and what its source was."""

    name: str
    content: GuestContent
    format: str = "qcow2"
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Tally:
    """What a publish did, in blocks of all disks and bytes of packs."""

    new_blocks: int = 0
    reused_blocks: int = 0
    repacked_blocks: int = 0
    uploaded_bytes: int = 0
    resumed_bytes: int = 0
    resent_bytes: int = 0
    packs: int = 0


class ImageWriter:
    """Writes one image into `store`; `known` are blocks that the repository holds already, and `packer` takes the others.

    First `read` each disk while its content is open, then `finish` while all of them are, then `write`.
    """

    def __init__(
        self, store: Store, known: KnownBlocks, packer: Packer, journal: PublishJournal, *, level: int
    ) -> None:
        self._store = store
        self._known = known
        self._packer = packer
        self._zstd = FrameCompressor(level)
        self._disks: list[tuple[DiskSource, Content]] = []
        self._begun: dict[str, int] = {}
        self._resumed: dict[str, int] = {}
        self._repacked: set[str] = set()
        self.tally = Tally()
        self._go_on(journal)

    def _go_on(self, journal: PublishJournal) -> None:
        """What an interrupted run has sent is known, where it came whole."""
        for pack in journal.load():
            if self._store.blob_size(pack.digest) != pack.size:
                self._begun[pack.digest] = pack.size
                continue
            self._resumed[pack.digest] = self._known.sizes[pack.digest] = pack.size
            for digest, offset, length in pack.blocks:
                self._known.add(digest, Place(pack.digest, offset, length))

    def read(self, disk: DiskSource, *, left: int, report: Report) -> None:
        """Read a disk, and send the blocks of it that aren't known; it and those after it have `left` bytes of data (data_size)."""
        found = Content(disk.content.size)
        for batch in packed(disk.content, block_size=BLOCK_SIZE, pack=self._packed):
            left -= batch.read
            self._packer.left = self._expected(left)
            self._take(batch, found)
            report(batch.end)
            fault_point("publish:while-reading")
        self._disks.append((disk, found))

    def _packed(self, number: int, piece: bytes) -> Block:
        """Digest and frame of a block, as threads make them; no frame for a block that is known."""
        digest = hashlib.sha256(piece).digest()
        if digest in self._known or digest in self._packer:
            return Block(number, digest, False)
        return Block(number, digest + self._zstd.compress(piece), True)

    def _take(self, batch: Batch, found: Content) -> None:
        for block in batch.blocks:
            digest = block.data[:_DIGEST]
            found.add(block.number, digest)
            if block.compressed and digest not in self._packer:
                self._packer.add(digest, memoryview(block.data)[_DIGEST:])
                self.tally.new_blocks += 1
            else:
                self.tally.reused_blocks += 1

    def _expected(self, left: int) -> int:
        """About how many bytes of frames are to come, by how well the others could be compressed."""
        plain = len(self._packer) * BLOCK_SIZE
        return left * self._packer.bytes // plain if plain else left

    def finish(self) -> None:
        """Write anew what old packs hold too little of, and wait until all packs have come."""
        used = self._used()
        lost = {pack for pack in used if self._store.blob_size(pack) != self._known.sizes[pack]}
        rest = {pack: count for pack, count in used.items() if pack not in lost}
        written = len(self._packer.sent) + 1
        self._repacked = lost | packs_to_repack(rest, self._known.sizes, written=written)
        self._packer.left = sum(used[pack] for pack in self._repacked)
        self._packer.kept = len(used.keys() - self._repacked)
        for disk, content in self._disks:
            self._repack(disk, content)
        self._packer.finish()
        self.tally.uploaded_bytes = self._packer.bytes
        self.tally.resumed_bytes = sum(size for pack, size in self._resumed.items() if pack in used)
        self.tally.resent_bytes = sum(self._begun.get(pack.digest, 0) for pack in self._packer.sent)

    def _used(self) -> dict[str, int]:
        """How many bytes of each known pack the image uses."""
        used: Counter[str] = Counter()
        seen: set[bytes] = set()
        for _disk, content in self._disks:
            for _number, digest in content:
                place = self._known.get(digest) if digest not in seen else None
                if place:
                    used[place.pack] += place.length
                seen.add(digest)
        return dict(used)

    def _repack(self, disk: DiskSource, content: Content) -> None:
        for number, digest in content if self._repacked else ():
            place = self._known.get(digest)
            if place is None or place.pack not in self._repacked or digest in self._packer:
                continue
            piece = disk.content.read(number * BLOCK_SIZE, BLOCK_SIZE)
            if hashlib.sha256(piece).digest() != digest:
                raise Conflict(f"The disk {disk.name} was written to while it was read; run the task again.")
            self._packer.add(digest, self._zstd.compress(piece))
            self.tally.repacked_blocks += 1

    def _place_of(self, digest: bytes) -> Place:
        place = self._packer.place_of(digest) or self._known.get(digest)
        if place is None:
            raise AssertionError("a block of the image is in no pack")
        return place

    def entries(self) -> tuple[DiskEntry, ...]:
        """The disks without their segments: what tells whether an image has the same content."""
        return tuple(
            DiskEntry(disk.name, content.size, content.digest(), format=disk.format, options=disk.options)
            for disk, content in self._disks
        )

    def write(self, config: ImageConfig, annotations: Mapping[str, str], *, variables: bytes = b"") -> bytes:
        """Keep index, configuration and UEFI variables of the image; its manifest, with which it becomes visible, is given back."""
        index, disks = IndexBlob(), []
        sizes = {**self._known.sizes, **{pack.digest: pack.size for pack in self._packer.sent}}
        packs: dict[str, Descriptor] = {}
        for entry, (_disk, content) in zip(self.entries(), self._disks):
            segments = list(content.segments(self._place_of))
            for pack in (pack for segment in segments for pack in segment.packs):
                packs.setdefault(pack, Descriptor(PACK, pack, sizes[pack]))
            disks.append(replace(entry, segments=tuple(index.add(segment) for segment in segments)))
        self.tally.packs = len(packs)
        whole = replace(config, disks=tuple(disks))
        return _write_image(self._store, whole, index.as_bytes(), tuple(packs.values()), annotations, variables)


def _write_image(
    store: Store,
    config: ImageConfig,
    index: bytes,
    packs: tuple[Descriptor, ...],
    annotations: Mapping[str, str],
    variables: bytes,
) -> bytes:
    for data in (index, config.as_bytes(), *([variables] if variables else [])):
        store.write_blob(data, digest_of(data))
        fault_point("publish:described")
    found = config_descriptor(config.as_bytes())
    beside = Descriptor(VARIABLES, digest_of(variables), len(variables)) if variables else None
    return ImageManifest(
        found, Descriptor(BLOCK_INDEX, digest_of(index), len(index)), packs, annotations, beside
    ).as_bytes()
