# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import itertools
import random

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_layers import LayerTree, Merge


def tree(below: str, *, named: str = "", active: str = "", own: str = "", foreign: str = "") -> LayerTree:
    """`below` has pairs such as BA: B rests on A; the root R is managed and not ours."""
    found = {"R": "", **{pair[0]: pair[1] for pair in below.split()}}
    sets = (frozenset(letters) for letters in (named, active, own, "R" + own, foreign))
    return LayerTree(found, *sets)


@pytest.mark.parametrize(
    ("given", "acts"),
    [
        (tree("AR", named="R", active="A", own="A"), []),
        (tree("AR", active="A", own="A"), ["merge A into R"]),
        (tree("AR BA", named="A", active="B", own="AB"), ["merge A into R"]),
        (tree("AR BA", named="R", active="B", own="AB"), ["merge B into A"]),
        (tree("AR BA", active="B", own="AB"), ["merge A into R", "merge B into R"]),
        # Two rest on it: it stays, and a branch that nothing needs goes.
        (tree("AR BR", named="A", active="B", own="AB"), []),
        (tree("AR BR", active="B", own="AB"), ["remove A, which nothing needs any more", "merge B into R"]),
        # Not ours, or somebody else's too.
        (tree("AR", active="A", own=""), []),
        (tree("AR", active="A", own="A", foreign="R"), []),
        (tree("AR", active="A", own="A", foreign="A"), []),
        (tree("AR BR", active="B", own="AB", foreign="A"), []),
    ],
)
def test_what_is_to_be_done(given: LayerTree, acts: list[str]) -> None:
    assert [act.title for act in given.acts()] == acts


@pytest.mark.parametrize("seed", range(200))
def test_nothing_that_is_needed_goes(seed: int) -> None:
    """Random trees: what is named or active stays readable (its content is where `heirs` say), and nothing is left to do."""
    chance = random.Random(seed)
    letters = "ABCDEFG"
    below = {"R": "", **{one: chance.choice(["R", *letters[:number]]) for number, one in enumerate(letters)}}
    leaves = [one for one in letters if one not in below.values()]
    named = frozenset(one for one in ["R", *letters] if chance.random() < 0.3)
    active = frozenset(chance.sample(leaves, 1)) - named
    given = LayerTree(below, named, active, frozenset(letters), frozenset(["R", *letters]))
    holds = {one: {one, *itertools.takewhile(bool, _under(below, one))} for one in below}
    now, place = given, {one: one for one in named | active}
    for act in given.acts():
        readers = {reader for reader, where in place.items() if where in _above(now, act)}
        if isinstance(act, Merge):
            # Only what rests on the upper layer may read the lower one, which gets its content.
            assert all(place[reader] != act.base for reader in place)
            assert now.overlays(act.base) == [act.top]
        else:
            assert not readers
        now = now.after(act)
        if isinstance(act, Merge):
            place = {reader: act.base if where == act.top else where for reader, where in place.items()}
    assert now.next() is None and set(place.values()) == set(now.named | now.active)
    assert all(holds[reader] for reader in place)


def _under(below: dict[str, str], one: str) -> list[str]:
    found = []
    while below.get(one):
        one = below[one]
        found.append(one)
    return found


def _above(now: LayerTree, act: object) -> set[str]:
    gone = getattr(act, "path", "") or getattr(act, "top", "")
    return {one for one in now.below if one == gone or gone in _under(now.below, one)}
