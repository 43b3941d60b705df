# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import ctypes
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats import deflate, isal
from ansible_collections.imageops.fleet.plugins.module_utils._formats.encoder import Encoder

from .written import KIB, NOISE, TEXT

# Repeated from 20 KiB before: within a fence, beyond it, and farther than a window of 4 KiB.
FAR = base64.b64encode(NOISE[: 15 * KIB]) * 4
BLOCKS = [b"\1", FAR, TEXT[: 64 * KIB], NOISE[: 64 * KIB], bytes(64 * KIB), TEXT[: 1 << 20], NOISE[:512] * 128]
QCOW2 = [deflate.standard_qcow2_encoder(), deflate.qcow2_encoder()]
VMDK = [deflate.standard_vmdk_encoder(), deflate.vmdk_encoder()]


def inflated(found: bytes, *, at_once: int) -> bytes:
    """What a reader with a window of 4 KiB gets; in pieces it can look back further only to where the piece began."""
    engine, out = zlib.decompressobj(-12), b""
    while not engine.eof:
        out += engine.decompress(engine.unconsumed_tail or found[: 0 if out else None], at_once)
    return out


@pytest.mark.parametrize("data", BLOCKS)
def test_isal_needs_a_window_of_4_kib_only(data: bytes) -> None:
    encoder = deflate.qcow2_encoder()
    assert encoder.name == "ISA-L"
    found = encoder.compress(data, 2 << 20)
    assert found is not None
    assert inflated(found, at_once=1000) == data


@pytest.mark.skipif(sys.version_info < (3, 10), reason="Python inflates 16 KiB at once there, whatever it is asked for")
@pytest.mark.parametrize("at_once", [32 * KIB, 64 * KIB, 2 << 20])
@pytest.mark.parametrize("data", [*BLOCKS, TEXT[: 70 * KIB], TEXT[: 32 * KIB + 1]])
def test_zlib_needs_a_window_of_4_kib_where_32_kib_are_inflated_at_once(data: bytes, at_once: int) -> None:
    found = deflate.standard_qcow2_encoder().compress(data, 2 << 20)
    assert found is not None
    assert inflated(found, at_once=at_once) == data


def test_within_a_fence_matches_are_as_far_as_they_can_be() -> None:
    found = deflate.standard_qcow2_encoder().compress(FAR[: 64 * KIB], 64 * KIB - 1)
    # Two fences of 20 KiB that nothing is like, and 12 KiB that repeat; base64 takes 6 bits of 8.
    assert found is not None
    assert 30 * KIB < len(found) < 32 * KIB


@pytest.mark.parametrize("data", BLOCKS)
@pytest.mark.parametrize("encoder", QCOW2, ids=lambda encoder: encoder.name)
def test_qemu_inflates_a_cluster_at_once(encoder: Encoder, data: bytes) -> None:
    found = encoder.compress(data, 2 << 20)
    assert found is not None
    assert zlib.decompress(found, -12, len(data)) == data


def test_the_engine_of_a_thread_remembers_nothing() -> None:
    encoder = deflate.standard_qcow2_encoder()
    first = [encoder.compress(data, 2 << 20) for data in BLOCKS]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda data: encoder.compress(data, 2 << 20), reversed(BLOCKS * 8))) == first[::-1] * 8


@pytest.mark.parametrize("encoder", VMDK, ids=lambda encoder: encoder.name)
@pytest.mark.parametrize("data", BLOCKS)
def test_vmdk_gets_zlib_streams(encoder: Encoder, data: bytes) -> None:
    found = encoder.compress(data, 2 << 20)
    assert found is not None
    assert zlib.decompress(found) == data
    assert found[-4:] == zlib.adler32(data).to_bytes(4, "big")


@pytest.mark.parametrize("encoder", [*QCOW2, *VMDK], ids=lambda encoder: encoder.name)
def test_what_takes_more_than_allowed_is_not_given(encoder: Encoder) -> None:
    assert encoder.compress(NOISE[: 64 * KIB], 64 * KIB - 1) is None
    assert encoder.compress(TEXT[: 64 * KIB], 64 * KIB - 1) is not None


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (NOISE[: 64 * KIB], True),
        (NOISE[: 2 << 20], True),
        (NOISE[: 8 * KIB], False),
        (TEXT[: 64 * KIB], False),
        (bytes(64 * KIB), False),
        (bytes(range(256)) * 256, False),
        (NOISE[: 24 * KIB] + TEXT[: 40 * KIB], False),
    ],
)
def test_noise_is_told_from_what_can_be_compressed(data: bytes, expected: bool) -> None:
    assert deflate.is_noise(data) is expected


def test_without_libraries_the_standard_one_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open shared object file")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert deflate.vmdk_encoder().name == "ISA-L"
    isal._library.cache_clear()
    monkeypatch.setitem(sys.modules, "isal", None)
    assert (deflate.qcow2_encoder().name, deflate.vmdk_encoder().name) == ("zlib", "zlib")
    isal._library.cache_clear()
