# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Observe -> plan -> apply: what an operation found, what it wants, and the steps between."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable

KNOWN_AFTER = "(known after apply)"


@dataclass(frozen=True)
class Step:
    """One change; `title` is a short sentence for people, `run` does it."""

    title: str
    run: Callable[[], None]


@dataclass(frozen=True)
class Wait:
    """Something to wait for after the steps; no change. `run` returns facts to add to the result."""

    title: str
    run: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Plan:
    """The plan for one item.

    `upkeep` is bookkeeping of ours that goes before the steps, also when there are none, and is no change.

    `before` and `after` hold the declared facts that are compared and shown as diff. `observe` looks again after the
    steps and returns what the item's result holds; `foretell` gives that for check mode (default: `after`). A plan that
    rests on what an earlier item of the same list will make is `provisional`: it is made again just before it is applied.
    """

    item: str
    before: dict[str, Any]
    after: dict[str, Any]
    observe: Callable[[], dict[str, Any]]
    steps: tuple[Step, ...] = ()
    waits: tuple[Wait, ...] = ()
    upkeep: tuple[Step, ...] = ()
    warnings: tuple[str, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)
    provisional: bool = False
    foretell: Callable[[], dict[str, Any]] | None = None

    @property
    def changed(self) -> bool:
        """Whether applying the plan changes anything."""
        return bool(self.steps)
