# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One result out of the module runs of one task: it reads as if the module had waited for its jobs itself."""

from __future__ import annotations

from typing import Any


class Runs:
    """The module runs of a task, put together item by item."""

    def __init__(self) -> None:
        self._items: list[dict[str, Any]] = []
        self._diffs: list[dict[str, Any] | None] = []
        self._notes: dict[str, list[Any]] = {}

    def add(self, result: dict[str, Any], *, key: str) -> dict[str, Any]:
        """The result so far, with `result` as the latest; `key` names the list of items."""
        for name in ("warnings", "deprecations"):
            known = self._notes.setdefault(name, [])
            known.extend(note for note in result.get(name, []) if note not in known)
        items = result.get(key)
        if items is None:
            return {**result, key: self._items}
        diffs = result.get("diff", [None] * len(items))
        earlier = self._items or [{}] * len(items)
        self._diffs = [old or new for old, new in zip(self._diffs or [None] * len(items), diffs)]
        self._items = [_together(old, new) for old, new in zip(earlier, items)]
        told = {**result, key: self._items, "changed": any(item.get("changed") for item in self._items)}
        told.update({name: notes for name, notes in self._notes.items() if notes})
        if "diff" in result:
            told["diff"] = [diff for diff in self._diffs if diff]
        return told


def _together(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """An item's result of the latest run; what an earlier run finished stays as that run told it."""
    if not old:
        return new
    if not old.get("pending") and not old.get("failed"):
        return old
    both = {**new, "changed": bool(old.get("changed") or new.get("changed"))}
    if old.get("steps") and not new.get("steps"):
        both["steps"] = old["steps"]
    return both
