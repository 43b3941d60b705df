# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What blocks of several sizes and levels of zstd cost and save, and how fast an image is published.

blocks.py [--packs] FIRST.raw [SECOND.raw]: the second one is a new version of the first. Prints tables in Markdown; CPU times are of one thread.
With --packs only the table of packs' sizes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import zstandard

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / ".build" / "collections"))
from ansible_collections.imageops.fleet.plugins.module_utils._formats.guest_content import RawContent
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_publish_packer
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.publish_params import publish

SIZES = [64 << 10, 128 << 10, 256 << 10]
LEVELS = [1, 3, 6, 9]
PACK_SIZES = [16 << 20, 32 << 20, 64 << 20]
MIB = 1 << 20


def blocks(path: str, size: int) -> Iterator[bytes]:
    """All blocks that aren't zeros."""
    handle, zeros = os.open(path, os.O_RDONLY), bytes(size)
    content, done = RawContent(handle, os.stat(path).st_size), 0
    for start, end in content.extents():
        for at in range(max(done, start // size * size), end, size):
            piece = content.read(at, size)
            done = at + size
            if piece != zeros:
                yield piece
    os.close(handle)


def measured(paths: list[str], size: int, level: int) -> list[float]:
    """MiB of all blocks of the first image, of their frames, of the frames that only the second has, and seconds of hashing and packing."""
    engine = zstandard.ZstdCompressor(level=level)
    known: set[bytes] = set()
    plain, frames, hashing, packing = 0, [0] * len(paths), 0.0, 0.0
    for number, path in enumerate(paths):
        for piece in blocks(path, size):
            began = time.thread_time()
            digest = hashlib.sha256(piece).digest()
            hashed = time.thread_time()
            if digest not in known:
                known.add(digest)
                frames[number] += len(engine.compress(piece))
            if number == 0:
                plain += size
                hashing += hashed - began
                packing += time.thread_time() - hashed
    return [plain / MIB, *(one / MIB for one in frames), hashing, packing]


def table(paths: list[str]) -> None:
    """One line for each size and level."""
    print("| block | level | data, MiB | frames, MiB | new version, MiB | hashing, s | zstd, s | zstd, MiB/s |")
    print("|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        for level in LEVELS:
            plain, first, *second, hashing, packing = measured(paths, size, level)
            new = f"{second[0]:.1f}" if second else "-"
            print(
                f"| {size >> 10} KiB | {level} | {plain:.0f} | {first:.1f} | {new} | {hashing:.2f} | {packing:.2f} | {plain / packing:.0f} |",
                flush=True,
            )


def whole(paths: list[str]) -> None:
    """The work of image_publish, all of it, into a directory."""
    print("\n| level | published | wall, s | CPU, s | MiB of guest content/s | sent, MiB | packs |")
    print("|---|---|---|---|---|---|---|")
    for level in LEVELS:
        with tempfile.TemporaryDirectory(dir=Path(paths[0]).parent) as folder:
            os.environ["IMAGEOPS_STATE_DIR"] = f"{folder}/state"
            for tag, path in enumerate(paths):
                began, used = time.monotonic(), time.process_time()
                told = publish(Path(folder) / "catalog", Path(path), tag=str(tag), level=level)
                wall, cpu = time.monotonic() - began, time.process_time() - used
                content = (told["new_blocks"] + told["reused_blocks"]) * 64 / 1024
                print(
                    f"| {level} | {'new version' if tag else 'first'} | {wall:.2f} | {cpu:.2f} | {content / wall:.0f} | "
                    f"{told['uploaded_bytes'] / MIB:.1f} | {told['packs']} |",
                    flush=True,
                )


@contextlib.contextmanager
def packs_of(size: int) -> Iterator[None]:
    """All packs that are begun meanwhile have this size, however large the image is."""
    with (
        mock.patch.object(image_publish_packer, "PACK_SIZE", size),
        mock.patch.object(image_publish_packer, "pack_size", lambda packs, left: size),
    ):
        yield


def pack_sizes(paths: list[str]) -> None:
    """One line for each size of packs: what an image and its new version need; where uploads begin anew, a cut costs up to two packs."""
    print("\n| packs of | published | packs of the image | new packs | sent, MiB | largest pack, MiB |")
    print("|---|---|---|---|---|---|")
    for size in PACK_SIZES:
        with tempfile.TemporaryDirectory(dir=Path(paths[0]).parent) as folder, packs_of(size):
            os.environ["IMAGEOPS_STATE_DIR"] = f"{folder}/state"
            stored: set[Path] = set()
            for tag, path in enumerate(paths):
                told = publish(Path(folder) / "catalog", Path(path), tag=str(tag))
                sent = sorted(pack_files(Path(folder) / "catalog", str(tag)) - stored)
                stored.update(sent)
                largest = max((pack.stat().st_size for pack in sent), default=0)
                print(
                    f"| {size // MIB} MiB | {'new version' if tag else 'first'} | {told['packs']} | {len(sent)} | "
                    f"{told['uploaded_bytes'] / MIB:.1f} | {largest / MIB:.1f} |",
                    flush=True,
                )


def pack_files(catalog: Path, tag: str) -> set[Path]:
    """The files of an image's packs."""
    packs = load_image(LayoutStore(str(catalog)), tag).manifest.packs
    return {catalog / "blobs" / "sha256" / pack.digest.partition(":")[2] for pack in packs}


if __name__ == "__main__":
    only, *images = sys.argv[1:] if sys.argv[1:2] == ["--packs"] else ["", *sys.argv[1:]]
    if not only:
        table(images)
        whole(images)
    pack_sizes(images)
