# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.aliases import (
    MOST_TURNS,
    Aliases,
    Turn,
    read_aliases,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError, Unsupported

A, B, C = (digest_of(name) for name in (b"a", b"b", b"c"))
THEN, NOW = "2026-11-01T00:00:00Z", "2026-11-28T00:00:00Z"
AB = Aliases({"stable": (Turn(A, "1", THEN), Turn(B, "2", THEN))})


def digests(aliases: Aliases) -> list[str]:
    return [turn.digest for turn in aliases.past("stable")]


def test_nothing_is_known_at_first() -> None:
    assert Aliases().names == frozenset()
    assert Aliases().past("stable") == ()
    assert Aliases().before("stable") is None


def test_a_move() -> None:
    moved = AB.pointed("stable", Turn(C, "3", NOW))
    assert digests(moved) == [A, B, C]
    assert moved.before("stable") == Turn(B, "2", THEN)
    assert digests(AB) == [A, B]


def test_rollbacks_go_on_and_are_remembered() -> None:
    once = AB.pointed("stable", Turn(C, "3", THEN)).rolled_back("stable", when=NOW)
    twice = once.rolled_back("stable", when=NOW)
    assert (digests(once), digests(twice)) == ([A, B], [A])
    assert twice.before("stable") is None
    assert [turn.rolled_back for turn in twice.turns["stable"]] == ["", NOW, NOW]


def test_a_version_that_comes_back_after_a_rollback() -> None:
    again = AB.rolled_back("stable", when=NOW).pointed("stable", Turn(B, "2", NOW))
    assert digests(again) == [A, B]
    assert digests(again.rolled_back("stable", when=NOW)) == [A]


@pytest.mark.parametrize(
    ("found", "past", "rolled_back"),
    [
        pytest.param(B, [A, B], 0, id="as noted"),
        pytest.param(C, [A, B, C], 0, id="moved by others"),
        pytest.param(A, [A], 1, id="moved back by others, or never moved"),
    ],
)
def test_the_tag_says_where_an_alias_points(found: str, past: list[str], rolled_back: int) -> None:
    seen = AB.seen("stable", found, when=NOW)
    assert digests(seen) == past
    assert sum(1 for turn in seen.turns["stable"] if turn.rolled_back) == rolled_back


def test_an_alias_that_nobody_noted() -> None:
    assert Aliases().seen("stable", A, when=NOW).turns == {"stable": (Turn(A, when=NOW),)}


def test_only_so_many_moves_are_kept() -> None:
    many = Aliases()
    for number in range(MOST_TURNS + 5):
        many = many.pointed("stable", Turn(digest_of(bytes([number])), when=NOW))
    assert len(many.turns["stable"]) == MOST_TURNS
    assert many.past("stable")[-1].digest == digest_of(bytes([MOST_TURNS + 4]))


def test_without() -> None:
    assert AB.pointed("candidate", Turn(C)).without("stable").names == {"candidate"}


def test_round_trip() -> None:
    written = AB.rolled_back("stable", when=NOW)
    assert read_aliases(written.as_bytes(), where="x") == written
    assert json.loads(AB.as_bytes())["aliases"]["stable"][0] == {"digest": A, "version": "1", "when": THEN}


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"schema": 1},
        {"schema": 1, "aliases": []},
        {"schema": 1, "aliases": {"a": 7}},
        {"schema": 1, "aliases": {"a": ["x"]}},
        {"schema": 1, "aliases": {"a": [{"digest": "sha256:0"}]}},
        {"schema": 1, "aliases": {"a": [{"digest": A, "when": 7}]}},
        {"schema": 1, "aliases": {"a": [{"digest": A, "when": "x" * 256}]}},
        {"schema": 1, "aliases": {"a": [{"digest": A, "version": "half a character: \ud800"}]}},
    ],
)
def test_what_is_no_list_of_aliases(value: Any) -> None:
    with pytest.raises(TransferError, match="no list of aliases"):
        read_aliases(json.dumps(value).encode(), where="x")


def test_brackets_without_end() -> None:
    with pytest.raises(TransferError):
        read_aliases(b"[" * 100000, where="x")


def test_a_newer_schema() -> None:
    with pytest.raises(Unsupported, match="schema 2, and this version reads 1"):
        read_aliases(b'{"schema": 2, "aliases": {}}', where="x")
