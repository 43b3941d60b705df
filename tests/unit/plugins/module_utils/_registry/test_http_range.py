# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._registry.http_range import NotSatisfiable, asked_range


@pytest.mark.parametrize(
    ("header", "size", "found"),
    [
        ("bytes=0-9", 100, (0, 10)),
        ("bytes=90-200", 100, (90, 10)),
        ("bytes=90-", 100, (90, 10)),
        ("bytes=-10", 100, (90, 10)),
        ("bytes=-200", 100, (0, 100)),
        ("bytes=5-9", None, (5, 5)),
        ("bytes=5-", None, None),
        ("bytes=-5", None, None),
        ("", 100, None),
        ("bytes=-", 100, None),
        ("bytes=9-5", 100, None),
        ("bytes=0-1,5-6", 100, None),
        ("bits=0-1", 100, None),
        ("bytes=" + "9" * 30 + "-", 100, None),
    ],
)
def test_what_is_asked_for(header: str, size: int | None, found: tuple[int, int] | None) -> None:
    assert asked_range(header, size) == found


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=-1", 0)]
)
def test_nothing_is_asked_for(header: str, size: int) -> None:
    with pytest.raises(NotSatisfiable):
        asked_range(header, size)
