# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an inspection found, as plain immutable values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """One thing worth knowing; severity is unsafe, error, warning or info.

    `file` is the other file that the finding is about, as the image names it: it is no finding any more when that file was
    declared.
    """

    rule: str
    severity: str
    message: str
    file: str | None = None


@dataclass(frozen=True)
class Backing:
    """The file below an overlay, as the overlay names it."""

    name: str
    format: str | None


@dataclass(frozen=True)
class Reference:
    """A file beside the image that holds a part of its guest data; kind is data-file or extent."""

    kind: str
    name: str
    format: str


@dataclass(frozen=True)
class Extent:
    """One extent line of a VMDK descriptor."""

    access: str
    size: int
    kind: str
    name: str | None
    offset: int


@dataclass(frozen=True)
class Snapshot:
    """An internal snapshot of a qcow2 image; icount only where it was taken with record and replay."""

    id: str
    name: str
    vm_state_size: int
    disk_size: int
    date: int
    vm_clock_ns: int
    icount: int | None


@dataclass(frozen=True)
class Bitmap:
    """A persistent dirty bitmap of a qcow2 image; an enabled one records writes from the moment that the disk is opened."""

    name: str
    granularity: int
    in_use: bool
    enabled: bool


@dataclass(frozen=True)
class ImageFacts:
    """Everything that the bytes of one file say about it."""

    format: str
    variant: str | None
    virtual_size: int
    cluster_size: int | None
    backing: Backing | None
    data_file: str | None
    extents: tuple[Extent, ...]
    snapshots: tuple[Snapshot, ...]
    bitmaps: tuple[Bitmap, ...]
    encryption: str | None
    compression: str | None
    dirty: bool
    corrupt: bool
    header: dict[str, Any]
    findings: tuple[Finding, ...]
    # What a LUKS header says: cipher, hash, key slots.
    cipher: dict[str, Any] = field(default_factory=dict)
    partition_table: dict[str, Any] | None = None
    references: tuple[Reference, ...] = ()


@dataclass
class Draft:
    """Facts in the making: a parser fills it, and what it held when a parser stopped is still told."""

    format: str
    variant: str | None = None
    virtual_size: int = 0
    cluster_size: int | None = None
    backing: Backing | None = None
    data_file: str | None = None
    extents: list[Extent] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    bitmaps: list[Bitmap] = field(default_factory=list)
    encryption: str | None = None
    compression: str | None = None
    dirty: bool = False
    corrupt: bool = False
    header: dict[str, Any] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    cipher: dict[str, Any] = field(default_factory=dict)
    partition_table: dict[str, Any] | None = None
    references: list[Reference] = field(default_factory=list)
    # Bytes at the start of the file that are the format's own, never the guest's.
    header_area: int = 0

    def frozen(self) -> ImageFacts:
        """The finished facts, each finding once."""
        return ImageFacts(
            format=self.format,
            variant=self.variant,
            virtual_size=self.virtual_size,
            cluster_size=self.cluster_size,
            backing=self.backing,
            data_file=self.data_file,
            extents=tuple(self.extents),
            snapshots=tuple(self.snapshots),
            bitmaps=tuple(self.bitmaps),
            encryption=self.encryption,
            compression=self.compression,
            dirty=self.dirty,
            corrupt=self.corrupt,
            header=self.header,
            findings=tuple(dict.fromkeys(self.findings)),
            cipher=self.cipher,
            partition_table=self.partition_table,
            references=tuple(dict.fromkeys(self.references)),
        )
