# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ctypes
import threading

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats import libzstd
from ansible_collections.imageops.fleet.plugins.module_utils._formats.encoder import ZSTD, Encoder
from ansible_collections.imageops.fleet.plugins.module_utils._formats.zstd_frame import frame_end

from .written import KIB, NOISE, TEXT


@pytest.fixture
def encoder() -> Encoder:
    found = libzstd.zstd_encoder()
    assert found is not None
    return found


def unpacked(frame: bytes, size: int) -> bytes:
    """What libzstd makes of one frame; it may not need more than `size` bytes."""
    library, output = ctypes.CDLL("libzstd.so.1"), ctypes.create_string_buffer(size)
    library.ZSTD_decompress.restype = ctypes.c_size_t
    library.ZSTD_decompress.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t)
    length = library.ZSTD_decompress(output, size, frame, len(frame))
    assert length == size
    return output.raw


@pytest.mark.parametrize(
    "data", [b"\1", TEXT[:512], TEXT[: 64 * KIB], NOISE[: 64 * KIB], bytes(64 * KIB), (TEXT * 2)[: 2 << 20]]
)
def test_a_block_is_one_frame(encoder: Encoder, data: bytes) -> None:
    found = encoder.compress(data, 3 << 20)
    assert found is not None
    assert frame_end(found) == len(found)
    assert unpacked(found, len(data)) == data
    assert encoder.compression_type == ZSTD


def test_what_takes_more_than_allowed_is_not_given(encoder: Encoder) -> None:
    assert encoder.compress(NOISE[: 64 * KIB], 64 * KIB - 1) is None
    found = encoder.compress(TEXT[: 64 * KIB], 64 * KIB - 1)
    assert found is not None
    assert encoder.compress(TEXT[: 64 * KIB], len(found) - 1) is None
    assert encoder.compress(TEXT[: 64 * KIB], 64 * KIB - 1) == found


def test_threads_do_not_share_a_compressor(encoder: Encoder) -> None:
    expected, found = encoder.compress(TEXT[: 64 * KIB], 64 * KIB), []

    def work() -> None:
        found.extend(encoder.compress(TEXT[: 64 * KIB], 64 * KIB) for _round in range(50))

    threads = [threading.Thread(target=work) for _number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [expected] * 200


def test_a_host_may_be_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    libzstd._library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert libzstd.zstd_encoder() is None
    libzstd._library.cache_clear()


def test_no_memory_for_a_compressor(monkeypatch: pytest.MonkeyPatch) -> None:
    library = libzstd._library()
    assert library is not None
    monkeypatch.setattr(library, "ZSTD_createCCtx", lambda: None)
    with pytest.raises(MemoryError):
        libzstd.zstd_encoder()
