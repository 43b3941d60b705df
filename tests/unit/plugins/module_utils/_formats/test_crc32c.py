# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.crc32c import TABLE, crc32c


def byte_by_byte(data: bytes) -> int:
    value = 0xFFFFFFFF
    for byte in data:
        value = value >> 8 ^ TABLE[(value ^ byte) & 0xFF]
    return value ^ 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "expected"),
    [(b"", 0), (b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43)],
    ids=["nothing", "check value", "zeros of RFC 3720", "ones of RFC 3720"],
)
def test_published_values(data: bytes, expected: int) -> None:
    assert crc32c(data) == expected


@pytest.mark.parametrize("zeros", [0, 1, 2, 3, 7, 8, 255, 256, 4000, 65535, 65536])
def test_zeros_at_the_end_count_as_any_byte(zeros: int) -> None:
    data = random.Random(zeros).randbytes(100) + b"\1" + bytes(zeros)
    assert crc32c(data) == byte_by_byte(data)
