# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._sizes import format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        (512, 512),
        ("512", 512),
        ("512B", 512),
        ("1k", 1024),
        ("1 KiB", 1024),
        ("10G", 10 << 30),
        ("10GB", 10 << 30),
        ("10GiB", 10 << 30),
        ("1.5 MiB", 3 << 19),
        (" 2t ", 2 << 40),
        ("8191P", 8191 << 50),
        ("0", 0),
    ],
)
def test_sizes_as_people_write_them(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "text",
    [
        "",
        "G",
        "-1",
        "10X",
        "1e3",
        "10 Gi B",
        "0x10",
        "1,5G",
        "0.3k",
        True,
        None,
        "9" * 5000,
        "9" * 400 + ".5",
        "\u0661K",
    ],
)
def test_what_is_no_size_is_refused_by_its_option(text: str) -> None:
    with pytest.raises(InvalidOption, match=r"^bandwidth: "):
        parse_size(text, option="bandwidth")


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 KiB"),
        (3 << 19, "1.5 MiB"),
        (100 << 30, "100 GiB"),
        (1 << 50, "1 PiB"),
        (2000 << 50, "2000 PiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert format_size(size) == text
