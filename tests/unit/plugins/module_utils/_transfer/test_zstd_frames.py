# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct

import pytest
import zstandard
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.zstd import DamagedFrame, FrameDecompressor

SIZE = 64 << 10
DATA = bytes(range(256)) * (SIZE // 256)
FRAME = zstandard.ZstdCompressor(level=3).compress(DATA)
# A frame that says it holds 1 TiB (RFC 8878, 3.1.1.1), with an empty last block.
BOMB = b"\x28\xb5\x2f\xfd\xe0" + struct.pack("<Q", 1 << 40) + b"\x01\x00\x00"


def test_a_frame_gives_its_block() -> None:
    engine = FrameDecompressor(SIZE)
    for frame in (FRAME, memoryview(FRAME), bytearray(FRAME)):
        assert engine.decompress(frame) == DATA


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"no frame",
        FRAME[:-5],
        FRAME[:8] + bytes(len(FRAME) - 8),
        BOMB,
        zstandard.ZstdCompressor().compress(DATA[1:]),
        zstandard.ZstdCompressor().compress(DATA + b"\0"),
        zstandard.ZstdCompressor(write_content_size=False).compress(DATA),
    ],
    ids=["empty", "other", "short", "broken", "bomb", "less", "more", "silent"],
)
def test_other_frames_are_refused(frame: bytes) -> None:
    with pytest.raises(DamagedFrame):
        FrameDecompressor(SIZE).decompress(frame)
