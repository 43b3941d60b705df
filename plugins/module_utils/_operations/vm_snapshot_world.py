# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM and its snapshots as they are, and as they will be after an item of the list."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from .._errors import NotFound
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot, snapshots
from .._plan import KNOWN_AFTER
from .operation import Tools

_SOON = -1


@dataclass(frozen=True)
class World:
    """What one VM looks like: its state and its snapshots; pure data, so that a plan can tell what comes next."""

    vm: str
    state: str
    snapshots: tuple[Snapshot, ...]

    def snapshot(self, name: str) -> Snapshot | None:
        """The snapshot called `name`."""
        return next((snapshot for snapshot in self.snapshots if snapshot.name == name), None)

    @property
    def current(self) -> str:
        """Name of the snapshot that the next one will be a child of, or an empty string."""
        return next((snapshot.name for snapshot in self.snapshots if snapshot.current), "")

    def descendants(self, name: str) -> tuple[str, ...]:
        """Names of all snapshots below `name`."""
        below = [snapshot.name for snapshot in self.snapshots if snapshot.parent == name]
        return tuple(found for child in below for found in (child, *self.descendants(child)))

    def facts(self, name: str) -> dict[str, Any]:
        """What a result shows of the snapshot `name` and its VM."""
        found = self.snapshot(name)
        facts = {"vm": self.vm, "name": name, "state": "present" if found else "absent", "vm_state": self.state}
        if found is None:
            return facts
        children = sorted(snapshot.name for snapshot in self.snapshots if snapshot.parent == name)
        created = KNOWN_AFTER if found.created == _SOON else found.created
        return {**facts, **_shown(found), "children": children, "created": created}

    def with_new(self, name: str, *, description: str, kind: str, memory: bool) -> World:
        """After the snapshot `name` was taken."""
        state = self.state if memory else "stopped"
        new = Snapshot(name, kind, memory, state, self.current, _SOON, description, True, None)
        return replace(self, snapshots=(*_with_current(self.snapshots, ""), new))

    def without(self, name: str, *, children: bool) -> World:
        """After the snapshot `name` was deleted; children that stay become those of its parent."""
        gone = {name, *(self.descendants(name) if children else ())}
        parent = next((snapshot.parent for snapshot in self.snapshots if snapshot.name == name), "")
        left = [
            replace(snapshot, parent=parent) if snapshot.parent == name else snapshot
            for snapshot in self.snapshots
            if snapshot.name not in gone
        ]
        current = parent if self.current in gone else self.current
        return replace(self, snapshots=_with_current(left, current))

    def at(self, name: str, *, start: bool) -> World:
        """After a revert to `name`."""
        found = self.snapshot(name)
        held = found.state if found else self.state
        state = "running" if start and held == "stopped" else held
        return replace(self, state=state, snapshots=_with_current(self.snapshots, name))


def _shown(snapshot: Snapshot) -> dict[str, Any]:
    return {name: getattr(snapshot, name) for name in ("kind", "memory", "current", "parent", "description")}


def _with_current(found: Iterable[Snapshot], name: str) -> tuple[Snapshot, ...]:
    return tuple(replace(snapshot, current=snapshot.name == name) for snapshot in found)


def find_domain(vm: str, *, uri: str, option: str, tools: Tools) -> Domain:
    """The domain of the VM; raises NotFound."""
    domain = tools.hypervisor(uri).domain(vm)
    if domain is None:
        raise NotFound(f"{option}: there is no VM called {vm} on {uri}; define it first, or correct the name.")
    return domain


def look(domain: Domain) -> World:
    """The VM as it is now."""
    return World(domain.name, domain.state, tuple(snapshots(domain)))


def foresee(world: World, params: dict[str, Any], tools: Tools) -> tuple[World, bool]:
    """The world that the item `params` will find, and whether an earlier item of the list makes it."""
    known = tools.forecast.get(_key(params))
    return (world, False) if known is None else (known["world"], True)


def foretell(world: World, params: dict[str, Any], tools: Tools) -> None:
    """Tell later items of the list what this one leaves behind."""
    tools.forecast[_key(params)] = {"world": world}


def _key(params: dict[str, Any]) -> str:
    return f"snapshots:{params['uri']}:{params['vm']}"
