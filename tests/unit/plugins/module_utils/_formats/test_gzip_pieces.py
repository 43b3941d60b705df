# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import os
from functools import partial

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.deflate import standard_vmdk_encoder, vmdk_encoder
from ansible_collections.imageops.fleet.plugins.module_utils._formats.encoder import Encoder
from ansible_collections.imageops.fleet.plugins.module_utils._formats.gzip_pieces import compressed, member

REFUSES = Encoder("none", lambda data, most: None)
PIECES = [b"", b"a", bytes(1 << 20), os.urandom(1 << 20), b"text " * 1000]


@pytest.mark.parametrize(
    "encoder", [vmdk_encoder(), standard_vmdk_encoder(), REFUSES], ids=["fast", "standard", "none"]
)
@pytest.mark.parametrize("number", range(len(PIECES)))
def test_a_member_is_read_back(encoder: Encoder, number: int) -> None:
    assert gzip.decompress(member(PIECES[number], encoder)) == PIECES[number]


def test_pieces_come_in_order() -> None:
    data = [bytes([number]) * 70000 for number in range(100)]
    found = list(compressed((partial(bytes, one) for one in data), vmdk_encoder()))
    assert [size for size, _member in found] == [70000] * 100
    assert gzip.decompress(b"".join(one for _size, one in found)) == b"".join(data)


def test_a_piece_that_can_not_be_read_ends_it() -> None:
    def fail() -> bytes:
        raise OSError(5, "broken")

    with pytest.raises(OSError, match="broken"):
        list(compressed(iter([fail] * 50), vmdk_encoder()))
