# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The layers of a VM's external snapshots as a tree, and what is to be done so that no layer is there in vain.

Pure. A layer is needed when a snapshot names it, when the VM writes to it, or when two others rest on it. One that nobody
needs and nothing rests on goes. One that nobody names and just one of ours rests on gets what that one holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Remove:
    """Nothing needs this file."""

    path: str

    @property
    def title(self) -> str:
        return f"remove {self.path}, which nothing needs any more"


@dataclass(frozen=True)
class Merge:
    """Bring what `top` holds into `base`, right below it."""

    top: str
    base: str

    @property
    def title(self) -> str:
        return f"merge {self.top} into {self.base}"


@dataclass(frozen=True)
class LayerTree:
    """`below` tells the backing file by path; `named` are layers of snapshots, `active` those that the VM writes to.

    `own` are overlays made (or adopted) for snapshots; `managed` all layers that were ever a snapshot's. `foreign` are those
    that something else needs too (another VM, an image).
    """

    below: dict[str, str]
    named: frozenset[str]
    active: frozenset[str]
    own: frozenset[str]
    managed: frozenset[str]
    foreign: frozenset[str] = frozenset()

    def overlays(self, path: str) -> list[str]:
        """What rests right on `path`."""
        return sorted(top for top, base in self.below.items() if base == path)

    def loose(self, path: str) -> bool:
        """Whether only what rests on `path` needs it."""
        return path not in self.named and path not in self.active and path not in self.foreign

    def removable(self) -> Iterator[Remove]:
        """Layers of ours that nothing needs."""
        for path in sorted(self.own):
            if path in self.below and self.loose(path) and not self.overlays(path):
                yield Remove(path)

    def mergeable(self) -> Iterator[Merge]:
        """Layers that only one of ours rests on, the lowest first, so that each byte moves once."""
        for path in sorted(self.own | self.managed, key=lambda path: (self._depth(path), path)):
            tops = self.overlays(path)
            if self.loose(path) and len(tops) == 1 and tops[0] in self.own and tops[0] not in self.foreign:
                yield Merge(tops[0], path)

    def _depth(self, path: str) -> int:
        depth, seen = 0, {path}
        while self.below.get(path):
            path = self.below[path]
            if path in seen:
                break
            seen.add(path)
            depth += 1
        return depth

    def next(self) -> Remove | Merge | None:
        """What is to be done first; removals come first, since they give space."""
        return next(self.removable(), None) or next(self.mergeable(), None)

    def after(self, act: Remove | Merge) -> LayerTree:
        """The tree when it was done."""
        gone = act.path if isinstance(act, Remove) else act.top
        other = act.base if isinstance(act, Merge) else ""
        below = {top: other if base == gone else base for top, base in self.below.items() if top != gone}
        heir = {other} if other else set()
        return replace(
            self,
            below=below,
            own=self.own - {gone},
            managed=(self.managed - {gone}) | (heir if gone in self.managed else set()),
            named=(self.named - {gone}) | (heir if gone in self.named else set()),
            active=(self.active - {gone}) | (heir if gone in self.active else set()),
        )

    def acts(self) -> list[Remove | Merge]:
        """Everything until no layer is there in vain."""
        found: list[Remove | Merge] = []
        tree = self
        act = tree.next()
        while act:
            found.append(act)
            tree = tree.after(act)
            act = tree.next()
        return found
