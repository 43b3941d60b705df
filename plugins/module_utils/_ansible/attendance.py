# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner's side of attended mode: jobs that outlast the module's patience are left to the action plugin.

The plugin runs the module again when one of them has ended; then its end is taken as if the module had waited. Without a
plugin (async tasks) nothing here does anything.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .._errors import ImageOpsError
from .._jobs.attended import CHANGED, JOINED, UPKEEP, Pending, attended
from .._jobs.clock import Clock
from .item import Item


class Attendance:
    """What the plugin waits for already, and how many jobs may run beside each other."""

    def __init__(self, *, check_mode: bool) -> None:
        self._waits = None if check_mode else attended()
        self._turn = threading.Condition()
        self._busy = 0
        self._had_turn: set[int] = set()
        self._takers: dict[str, Item] = {}

    @property
    def begins(self) -> bool:
        """Whether this is the task's first run of the module."""
        return not self._waits

    @property
    def active(self) -> bool:
        return self._waits is not None

    def take(self, item: Item, job: str | None, clock: Clock) -> bool:
        """Whether the plugin waits for the item's job: then it goes on waiting, or here is how it ended."""
        entry = (self._waits or {}).get(job or "")
        if job is None or entry is None:
            return False
        first = self._takers.setdefault(job, item)
        if first is not item:
            # The job works for both: it is told with both, and what it made isn't made again when it has ended.
            item.left, item.job = bool(first.waits_for), first.job
            return item.left
        from .._jobs.running import is_running
        from .._jobs.state import read_state
        from .._jobs.waiting import JobDied, ended_state, job_facts, require_request, timed_out

        state = read_state(job)
        target = state.target if state else job
        item.joined = entry["as"] == JOINED
        try:
            require_request(state, entry["request"])
            if state is not None and is_running(state, clock):
                if 0 < entry["timeout"] <= entry["waited"]:
                    raise timed_out(job, entry["timeout"])
                item.waits_for = {**entry, "job": job, "pid": state.pid}
                return True
            done = job_facts(ended_state(state, job, target))
            item.job = {} if item.joined else done
            item.changed = entry["as"] != UPKEEP and changes(done)
        except JobDied as error:
            if item.joined:
                # Whoever started it is not us, so it is started again.
                item.joined = False
                return False
            item.error = error
        except ImageOpsError as error:
            item.error = error
        return True

    def leave(self, item: Item, pending: Pending) -> None:
        """The item's job outlasts our patience."""
        changed = CHANGED if item.plan and item.plan.changed else UPKEEP
        kind = JOINED if item.joined else changed
        told = {"timeout": pending.timeout, "request": pending.request, "pid": pending.pid}
        item.waits_for = {"job": pending.job, "as": kind, **told}

    @contextlib.contextmanager
    def slot(self, item: Item, items: Sequence[Item], most: int) -> Iterator[bool]:
        """Room for one more item with steps, in the order of the list; False when as many jobs as may run go on after this run."""
        if not self.active or not item.plan or not item.plan.steps:
            # One whose plan is made again may get steps; nobody waits for it then.
            self._had_turn.add(id(item))
            yield True
            return

        def waiting() -> int:
            return sum(1 for each in items if each.waits_for)

        def is_next() -> bool:
            steps = (each for each in items if each.plan and each.plan.steps)
            return next(each for each in steps if id(each) not in self._had_turn) is item

        with self._turn:
            self._turn.wait_for(lambda: is_next() and (self._busy + waiting() < most or not self._busy))
            free = self._busy + waiting() < most
            self._busy += free
            self._had_turn.add(id(item))
            self._turn.notify_all()
        try:
            yield free
        finally:
            with self._turn:
                self._busy -= free
                self._turn.notify_all()


def changes(job: Mapping[str, Any]) -> bool:
    """Whether a job of an item that was to be changed did change it, by its facts."""
    return bool(job.get("changed", True))


def told(items: Sequence[Item]) -> dict[str, Any]:
    """For the plugin: the jobs to wait for by id, and where they keep their states."""
    from .._jobs.state import job_path

    waits = [item.waits_for for item in items if item.waits_for]
    return {entry["job"]: {**entry, "folder": job_path(entry["job"])} for entry in waits}
