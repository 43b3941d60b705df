# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and their writers, as the writers' tests share them."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ansible_collections.imageops.fleet.plugins.module_utils._formats.deflate import (
    standard_qcow2_encoder,
    standard_vmdk_encoder,
)
from ansible_collections.imageops.fleet.plugins.module_utils._formats.encoder import Encoder
from ansible_collections.imageops.fleet.plugins.module_utils._formats.guest_content import RawContent
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_writer import write_qcow2
from ansible_collections.imageops.fleet.plugins.module_utils._formats.sparse_vmdk_writer import write_sparse_vmdk
from ansible_collections.imageops.fleet.plugins.module_utils._formats.stream_vmdk_writer import write_stream_vmdk

KIB, MIB = 1 << 10, 1 << 20
NOISE = random.Random(7).randbytes(4 * MIB)
TEXT = b"".join(b"line %d of a file that compresses\n" % number for number in range(60000))


def raw(path: Path, size: int, *pieces: tuple[int, bytes]) -> Path:
    """A sparse raw disk with data at some offsets."""
    with path.open("wb") as stream:
        stream.truncate(size)
        for offset, data in pieces:
            stream.seek(offset)
            stream.write(data[: size - offset])
    return path


@contextmanager
def opened(path: Path) -> Iterator[RawContent]:
    handle = os.open(path, os.O_RDONLY)
    try:
        yield RawContent(handle, path.stat().st_size)
    finally:
        os.close(handle)


def qcow2(
    source: Path, target: Path, *, cluster_size: int = 64 * KIB, version: int = 3, encoder: Encoder | None = None
) -> list[tuple[int, int]]:
    """Write `source` as qcow2; what was reported."""
    told: list[tuple[int, int]] = []
    with opened(source) as content, target.open("wb") as stream:
        write_qcow2(
            content,
            stream.fileno(),
            cluster_size=cluster_size,
            version=version,
            encoder=encoder or standard_qcow2_encoder(),
            report=lambda end, read: told.append((end, read)),
        )
    return told


def vmdk(source: Path, target: Path, *, adapter_type: str = "ide", encoder: Encoder | None = None) -> None:
    """Write `source` as streamOptimized VMDK."""
    with opened(source) as content, target.open("wb") as stream:
        write_stream_vmdk(
            content,
            stream.fileno(),
            adapter_type=adapter_type,
            hardware_version=4,
            encoder=encoder or standard_vmdk_encoder(),
            report=lambda end, read: None,
        )


def sparse_vmdk(
    source: Path, target: Path, *, name: str = "target", adapter_type: str = "ide"
) -> list[tuple[int, int]]:
    """Write `source` as monolithicSparse VMDK; what was reported."""
    told: list[tuple[int, int]] = []
    with opened(source) as content, target.open("wb") as stream:
        write_sparse_vmdk(
            content,
            stream.fileno(),
            name=name,
            adapter_type=adapter_type,
            hardware_version=4,
            report=lambda end, read: told.append((end, read)),
        )
    return told
