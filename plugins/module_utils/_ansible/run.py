# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one runner: check mode, diff, changed, warnings and errors of every module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .._errors import ImageOpsError
from .._jobs.attended import Pending
from .._jobs.state import has_ended
from .._locks import held
from .._operations.operation import Operation, Tools
from .._plan import Plan
from .attendance import Attendance, changes, told
from .compiled import COMPILED
from .invocation import given
from .item import Item, as_errors, refusal
from .module import QuietModule
from .specs import ModuleSpec
from .version import VERSION

_MOST_WAITS = 64


def run_module(spec: ModuleSpec, operation: Operation) -> None:
    """Run `operation` for all items of a module call and end the module."""
    module = QuietModule(  # type: ignore[no-untyped-call]
        argument_spec=spec.argument_spec, supports_check_mode=True, **spec.constraints
    )
    tools = Tools(version=VERSION)
    public = module.hide(spec.list_option, *spec.hidden) if spec.hidden else module.params
    run = _Run(module, operation, tools, key=spec.key, told=public)
    try:
        with as_errors():
            run.all(spec.items(module.params))
    except ImageOpsError as error:
        run.fail(error)
    finally:
        tools.close()
    if not module.check_mode:
        COMPILED.keep()
    run.finish()


class _Later(Exception):
    """Nothing more can be done before a job that was joined has ended."""


class _Run:
    def __init__(
        self, module: AnsibleModule, operation: Operation, tools: Tools, *, key: str, told: dict[str, Any]
    ) -> None:
        self._module = module
        self._told = told
        self._operation = operation
        self._items: list[Item] = []
        self._tools = tools
        self._key = key
        self._attendance = Attendance(check_mode=module.check_mode)

    def all(self, items: list[dict[str, Any]]) -> None:
        """Expand, join, lock, plan; refuse, or apply and wait."""
        self._items = [Item(params) for params in items]
        self._items = [
            Item(params) for item in self._items for params in self._operation.expand(item.params, self._tools)
        ]
        with contextlib.suppress(_Later):
            self._take_and_join()
            self._plan_and_apply()
        applied = [item for item in self._items if item.applied]
        self._in_parallel(applied, self._finish_item, _MOST_WAITS if any(item.waits for item in applied) else 1)

    def _take_and_join(self) -> None:
        for item in self._items:
            job = self._operation.job_id(item.params, self._tools)
            if not self._attendance.take(item, job, self._tools.clock) and not (job and has_ended(job)):
                self._join(item)
        self._require_joined()

    def _require_joined(self) -> None:
        """Jobs of others end before anything is looked at."""
        if any(item.joined and item.waits_for for item in self._items):
            for item in self._items:
                item.left = not item.waits_for and not item.error
            raise _Later

    def _plan_and_apply(self) -> None:
        open_items = [item for item in self._items if not item.unfinished and not item.error]
        names = [name for item in open_items for name in self._operation.locks(item.params, self._tools)]
        seconds = self._module.params.get("lock_timeout", self._operation.lock_timeout)
        with held(names, timeout=seconds, wait=self._wait_for_lock), contextlib.closing(self._tools.bases):
            self._plan_all(open_items)
            if self._module.check_mode:
                for item in self._items:
                    self._foretell(item)
                return
            self._apply_all(open_items)

    def _join(self, item: Item) -> None:
        if self._module.check_mode or item.error or item.unfinished:
            return
        try:
            if self._operation.join(item.params, self._tools):
                item.joined = item.changed = True
        except Pending as pending:
            item.joined = True
            self._attendance.leave(item, pending)

    def _foretell(self, item: Item) -> None:
        if not item.plan:
            return
        with self._catching(item):
            told = item.plan.foretell() if item.plan.foretell else item.plan.after
            item.result, item.changed = dict(told), item.plan.changed

    def _wait_for_lock(self, attempt: Callable[[], bool], timeout: float) -> bool:
        """Poll a lock; who holds it may run a job that is just what an item wants: then that one is joined."""

        def look() -> bool:
            if attempt():
                return True
            for item in self._items:
                self._join(item)
            self._require_joined()
            return False

        return self._tools.clock.wait_until(look, timeout)

    def _plan_all(self, items: list[Item]) -> None:
        self._operation.survey([item.params for item in items], self._tools)
        for item in items:
            with self._catching(item):
                item.plan = self._operation.plan(item.params, self._tools)
        refused = [item for item in items if item.error]
        if refused and self._attendance.begins:
            raise refusal(refused, len(self._items))

    def _apply_all(self, items: list[Item]) -> None:
        """Apply in order, neighbours side by side; what rests on others, or is refused later, waits for jobs that run."""
        group: list[Item] = []
        most = self._module.params.get("parallel") or self._operation.parallel
        for number, item in enumerate(items):
            if item.error or (item.plan and item.plan.provisional):
                self._apply_group(group, most)
                group = []
                if any(each.unfinished for each in self._items):
                    self._leave(items[number:])
                    return
            if not item.error:
                group.append(item)
        self._apply_group(group, most)

    def _leave(self, items: list[Item]) -> None:
        for item in items:
            item.left, item.error = True, None

    def _apply_group(self, items: list[Item], most: int) -> None:
        def act(item: Item) -> None:
            with self._attendance.slot(item, self._items, most) as free:
                if free:
                    self._apply(item)
                else:
                    item.left = True

        # Threads cost more than looking once more at what has nothing to do.
        idle = not any(item.plan and (item.plan.steps or item.plan.upkeep) for item in items)
        self._in_parallel(items, act, 1 if idle else most)

    def _in_parallel(self, items: list[Item], act: Callable[[Item], None], most: int) -> None:
        if min(most, len(items)) <= 1:
            for item in items:
                act(item)
            return
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(max_workers=min(most, len(items))) as pool:
            list(pool.map(act, items))

    def _apply(self, item: Item) -> None:
        with self._catching(item):
            if item.plan and item.plan.provisional:
                # What earlier items would make is there now, or will never be.
                self._tools.forecast.clear()
                item.plan = self._operation.plan(item.params, self._tools)
            if item.plan:
                self._run_steps(item, item.plan)
            item.applied = not item.unfinished

    def _run_steps(self, item: Item, plan: Plan) -> None:
        for upkeep in plan.upkeep:
            upkeep.run()
        for number, step in enumerate(plan.steps, start=1):
            # A step that failed changed nothing, unless others came before it.
            item.changed = item.changed or number > 1
            step.run()
        # A job may find that there is nothing to gain, and leave all as it was.
        item.changed = item.changed or (plan.changed and changes(plan.info.get("job", {})))

    def _finish_item(self, item: Item) -> None:
        with self._catching(item):
            found: dict[str, Any] = {}
            for wait in item.plan.waits if item.plan else ():
                found.update(wait.run())
            item.result = {**(item.plan.observe() if item.plan else {}), **found}

    @contextlib.contextmanager
    def _catching(self, item: Item) -> Iterator[None]:
        try:
            with as_errors():
                yield
        except Pending as pending:
            self._attendance.leave(item, pending)
        except ImageOpsError as error:
            item.error = error

    def outcome(self) -> dict[str, Any]:
        """What is returned however the run ends."""
        result: dict[str, Any] = {
            "changed": any(item.changed for item in self._items),
            self._operation.result: [item.told(self._key) for item in self._items],
            "invocation": {"module_args": given(self._told)},
            **self._operation.summarise(self._tools),
        }
        if self._module._diff:
            diffs = [item.diff for item in self._items]
            # The plugin puts the runs together, item by item.
            result["diff"] = [diff for diff in diffs if diff] if self._alone else diffs
        return result

    @property
    def _alone(self) -> bool:
        """Whether this is the task's only run of the module."""
        return self._attendance.begins and not any(item.unfinished for item in self._items)

    def finish(self) -> None:
        """End the module: exit, or fail with what went wrong in the items."""
        failed = [item for item in self._items if item.error]
        pending = told(self._items)
        if failed and not pending:
            self.fail(refusal(failed, len(self._items)))
        self._warn()
        more = {"pending": pending, "result": self._operation.result} if pending else {}
        self._module.exit_json(**self.outcome(), **more)

    def fail(self, error: ImageOpsError) -> None:
        """End the module with `error`; what was done and found until then is told all the same."""
        self._warn()
        self._module.fail_json(**{**error.details, **self.outcome(), "msg": str(error)})

    def _warn(self) -> None:
        for item in self._items:
            if item.plan and not item.left:
                # A job tells what it found while it worked.
                for warning in (*item.plan.warnings, *item.plan.info.get("job", {}).get("warnings", ())):
                    self._module.warn(warning)
