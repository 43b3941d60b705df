# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.retention import (
    ALIAS,
    GRACE,
    IN_USE,
    NEWEST,
    NOT_OURS,
    REMOVED,
    ROLLBACK,
    UNKNOWN_AGE,
    YOUNG,
    Rules,
    Version,
    decide,
    newest_first,
)

DAY = 86400.0
NOW = 1000 * DAY


def version(days: float | None, **fields: Any) -> Version:
    """One that was made so many days ago."""
    name = fields.pop("name", str(days))
    return Version(digest_of(name.encode()), (name,), None if days is None else NOW - days * DAY, **fields)


V1, V10, V20, V30, V90 = (version(days) for days in (1, 10, 20, 30, 90))
ALL = [V30, V1, V90, V10, V20]


def reasons(versions: list[Version], **rules: Any) -> list[str]:
    return [decision.reason for decision in decide(versions, Rules(**rules), now=NOW)]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param({"keep": 2}, [NEWEST, NEWEST, REMOVED, REMOVED, REMOVED], id="count"),
        pytest.param({"keep": 9}, [NEWEST] * 5, id="count of more than there are"),
        pytest.param({"keep_within": 25 * DAY}, [YOUNG, YOUNG, YOUNG, REMOVED, REMOVED], id="age"),
        pytest.param({"keep": 1, "keep_within": 15 * DAY}, [NEWEST, YOUNG, REMOVED, REMOVED, REMOVED], id="both"),
        pytest.param({"keep": 4, "keep_within": 5 * DAY}, [NEWEST] * 4 + [REMOVED], id="count beyond age"),
        pytest.param({"grace": 15 * DAY}, [GRACE, GRACE, REMOVED, REMOVED, REMOVED], id="grace period"),
        pytest.param(
            {"keep": 1, "pointed": {V90.digest: ["stable"]}}, [NEWEST, REMOVED, REMOVED, REMOVED, ALIAS], id="alias"
        ),
        pytest.param({"keep": 1, "in_use": {V30.digest}}, [NEWEST, REMOVED, REMOVED, IN_USE, REMOVED], id="in use"),
        pytest.param(
            {"keep": 1, "rollback": {V20.digest: ["stable"]}},
            [NEWEST, REMOVED, ROLLBACK, REMOVED, REMOVED],
            id="rollback",
        ),
        pytest.param(
            {"keep": 1, "pointed": {V1.digest: ["stable"]}, "in_use": {V1.digest}},
            [ALIAS, REMOVED, REMOVED, REMOVED, REMOVED],
            id="one that an alias points at counts among the newest",
        ),
    ],
)
def test_rules(rules: dict[str, Any], expected: list[str]) -> None:
    assert reasons(ALL, **rules) == expected


def test_the_newest_come_first_and_what_stays_is_kept() -> None:
    decided = decide(ALL, Rules(keep=2), now=NOW)
    assert [each.version for each in decided] == [V1, V10, V20, V30, V90]
    assert [each.kept for each in decided] == [True, True, False, False, False]


def test_a_version_without_a_time_stays_and_counts_for_nothing() -> None:
    assert reasons([version(None), V1, V10], keep=1) == [UNKNOWN_AGE, NEWEST, REMOVED]


def test_what_is_not_ours_stays_and_counts_for_nothing() -> None:
    assert reasons([version(0, ours=False), V1, V10], keep=1) == [NOT_OURS, NEWEST, REMOVED]


def test_an_old_image_that_came_today_is_young() -> None:
    came = version(90, name="copied", arrived=NOW - 60)
    assert reasons([V1, came], keep=1, keep_within=DAY / 2) == [NEWEST, YOUNG]
    assert reasons([V1, came], keep=1, grace=120) == [NEWEST, GRACE]


def test_only_the_time_of_arrival_is_known() -> None:
    came = Version(digest_of(b"foreign"), arrived=NOW - 5 * DAY)
    assert [each.digest for each in newest_first([V10, came, V1])] == [V1.digest, came.digest, V10.digest]
    assert reasons([V10, came, V1], keep=2) == [NEWEST, NEWEST, REMOVED]


def test_equal_times_have_an_order() -> None:
    twins = [version(1, name=name) for name in "abc"]
    assert newest_first(twins) == newest_first(twins[::-1])
