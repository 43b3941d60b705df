# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import resource
import sys
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial

import pytest
import zstandard
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError, MissingLibrary, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._transfer import zstd
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.decompress import (
    compression_of,
    decompressed,
    joined,
)

CONTENT = random.Random(7).randbytes(300_000) + bytes(2 << 20) + random.Random(8).randbytes(300_000)


def zst(data: bytes) -> bytes:
    packed: bytes = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    return packed


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zst,
}


# The same, quickly.
BOMBS = {**PACKERS, "gz": partial(gzip.compress, compresslevel=1), "xz": partial(lzma.compress, preset=0)}


@cache
def packed_content(kind: str) -> bytes:
    return PACKERS[kind](CONTENT)


def dribbling(data: bytes, most: int) -> Callable[[int], bytes]:
    stream = io.BytesIO(data)
    return lambda count: stream.read(min(count, most))


def unpacked(kind: str, data: bytes, *, most: int = 1 << 20) -> bytes:
    return b"".join(decompressed(kind, dribbling(data, most), where="http://h/x"))


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("most", [777, 1 << 20])
def test_content_comes_back(kind: str, most: int) -> None:
    packed = packed_content(kind)
    assert compression_of(packed[:64]) == kind
    assert unpacked(kind, packed, most=most) == CONTENT


@pytest.mark.parametrize("kind", PACKERS)
def test_streams_one_after_the_other(kind: str) -> None:
    pack = PACKERS[kind]
    assert unpacked(kind, pack(b"one") + pack(b"") + pack(b"two"), most=5) == b"onetwo"


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_zeros_after_the_end_are_padding(kind: str) -> None:
    assert unpacked(kind, PACKERS[kind](b"one") + bytes(4096)) == b"one"


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("cut", [1, 5, 100, 100_000])
def test_a_cut_off_stream(kind: str, cut: int) -> None:
    with pytest.raises(UnsafeImage, match=f"http://h/x is not a sound {kind} file"):
        unpacked(kind, packed_content(kind)[:-cut])


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("tail", [b"garbage", b"garbage" * 100, b"\0\0garbage"])
def test_something_else_after_the_end(kind: str, tail: bytes) -> None:
    with pytest.raises(UnsafeImage, match=f"not a sound {kind} file"):
        unpacked(kind, PACKERS[kind](b"one") + tail)


@pytest.mark.parametrize("kind", PACKERS)
def test_damaged_data(kind: str) -> None:
    packed = bytearray(packed_content(kind))
    packed[len(packed) // 2] ^= 0xFF
    with pytest.raises(UnsafeImage, match=f"not a sound {kind} file"):
        unpacked(kind, bytes(packed))


@pytest.mark.parametrize("kind", PACKERS)
def test_pieces_of_a_bomb_are_small(kind: str) -> None:
    packed = BOMBS[kind](bytes(64 << 20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert all(len(piece) <= 1 << 20 for piece in decompressed(kind, dribbling(packed, 1 << 20), where="x"))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 << 10


def xz_of(data: bytes, *, dictionary: int) -> bytes:
    """The same with another size of the dictionary (2 << dictionary / 2 + 11) in the header of its block, after the stream's."""
    size = 4 * (data[12] + 1)
    head = bytearray(data[12 : 12 + size - 4])
    assert head[2:4] == b"\x21\1"
    head[4] = dictionary
    return data[:12] + head + zlib.crc32(head).to_bytes(4, "little") + data[12 + size :]


def test_xz_that_wants_too_much_memory() -> None:
    small = lzma.compress(b"x")
    assert unpacked("xz", xz_of(small, dictionary=16)) == b"x"
    with pytest.raises(UnsafeImage, match="not a sound xz file"):
        unpacked("xz", xz_of(small, dictionary=36))


@pytest.mark.parametrize("kind", PACKERS)
def test_what_the_reader_raises_comes_through(kind: str) -> None:
    packed = packed_content(kind)

    def read(count: int) -> Iterator[bytes]:
        yield packed[:1000]
        raise ImageOpsError("the network is gone")

    pieces = read(0)
    with pytest.raises(ImageOpsError, match="the network is gone"):
        list(decompressed(kind, lambda count: next(pieces), where="x"))


def test_without_the_library_zstandard(monkeypatch: pytest.MonkeyPatch) -> None:
    zstd.library.cache_clear()
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingLibrary, match="python3-zstandard"):
        unpacked("zst", zst(b"one"))


def test_frames_that_are_skipped() -> None:
    """pzstd tells by them where the next frame begins."""
    skipped = b"\x50\x2a\x4d\x18\4\0\0\0abcd"
    packed = skipped + zst(b"one") + skipped + zst(b"two")
    assert compression_of(packed) == "zst"
    assert unpacked("zst", packed, most=7) == b"onetwo"


def test_zst_that_wants_too_much_memory() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    with pytest.raises(UnsafeImage, match="not a sound zst file"):
        unpacked("zst", packer.compress(b"x") + packer.flush())


@pytest.mark.parametrize("start", [b"", b"QFI\xfb", b"\x1f\x8b\x00", b"BZh9xxxxxxxx", b"conectix", bytes(64)])
def test_other_files_are_not_compressed(start: bytes) -> None:
    assert compression_of(start) == ""


def test_joined_reads_the_start_first() -> None:
    read = joined(b"abcdef", dribbling(b"gh", 9))
    assert [read(4), read(4), read(4), read(4)] == [b"abcd", b"ef", b"gh", b""]
