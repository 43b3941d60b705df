# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.times import format_time, parse_age, parse_time
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption


def test_round_trip() -> None:
    assert format_time(1764345600.9) == "2025-11-28T16:00:00Z"
    assert parse_time("2025-11-28T16:00:00Z") == 1764345600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2025-11-28T17:00:00+01:00", 1764345600.0),
        ("2025-11-28t16:00:00.5z", 1764345600.5),
        ("2025-11-28 16:00:00.123456789Z", 1764345600.123456789),
        ("", None),
        ("2025-11-28", None),
        ("2025-11-28T16:00:00", None),
        ("2025-13-28T16:00:00Z", None),
        ("0000-01-01T00:00:00Z", None),
        ("1970-01-01T00:00:00Z", 0.0),
        ("1969-12-31T23:59:59Z", None),
        ("1970-01-01T00:00:00+00:01", None),
        ("9999-12-31T23:59:59Z", 253402300799.0),
        ("9999-12-31T23:59:59.999999999999Z", None),
        ("9999-12-31T23:59:59-12:00", None),
    ],
)
def test_times(text: str, seconds: float | None) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30d", 2592000), ("12h", 43200), ("2 w", 1209600), ("90m", 5400), ("5s", 5), (60, 60), ("0", 0)],
)
def test_ages(text: str | int, seconds: float) -> None:
    assert parse_age(text, option="keep_within") == seconds


@pytest.mark.parametrize("text", ["", "-1d", "1y", "1.5d", "d", "1d2h", "9999999999", "١d"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(InvalidOption, match=f"^keep_within: '{text}' is no length of time"):
        parse_age(text, option="keep_within")
