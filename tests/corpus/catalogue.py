# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The images of the corpus by name: what each stands for, what it is declared as, and what must become of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from ansible_collections.imageops.fleet.tests.corpus.shop import Shop

Maker = Callable[[Shop], Path]


@dataclass(frozen=True)
class Attack:
    """An image that must be refused, by `rule`; `hole` is what was published about its like, or the rule it breaks."""

    name: str
    declared: str
    rule: str
    hole: str
    make: Maker


@dataclass(frozen=True)
class Valid:
    """An image that must be accepted; `backing` are the files in its folder that have to be declared for that."""

    name: str
    format: str
    make: Maker
    backing: tuple[str, ...] = ()


ATTACKS: list[Attack] = []
VALID: list[Valid] = []


def attack(declared: str, rule: str, hole: str) -> Callable[[Maker], Maker]:
    """Put the function's image among the attacks, under the function's name."""

    def keep(make: Maker) -> Maker:
        add_attack(make.__name__.replace("_", "-"), declared, rule, hole, make)
        return make

    return keep


def add_attack(name: str, declared: str, rule: str, hole: str, make: Maker) -> None:
    """One more attack; names are given once."""
    assert name not in {one.name for one in ATTACKS}, name
    ATTACKS.append(Attack(name, declared, rule, hole, make))


def valid(name: str, form: str, make: Maker, *, backing: Sequence[str] = ()) -> None:
    """One more valid image; names are given once."""
    assert name not in {one.name for one in VALID}, name
    VALID.append(Valid(name, form, make, tuple(backing)))
