# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one runner: check mode, diff, changed, warnings and errors of every module."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Callable

from ansible.module_utils.basic import AnsibleModule

from .._errors import ImageOpsError, system_error
from .._locks import held
from .._operations.operation import Operation, Tools
from .._plan import Plan
from .specs import ModuleSpec
from .version import VERSION

_MOST_WAITS = 64


@dataclass
class Item:
    """One item on its way: options, plan, result or error."""

    params: dict[str, Any]
    plan: Plan | None = None
    joined: bool = False
    result: dict[str, Any] = field(default_factory=dict)
    error: ImageOpsError | None = None
    applied: bool = False
    changed: bool = False


class _Module(AnsibleModule):
    """Keeps secrets out of the host's log: AnsibleModule masks them by their text, and the log has texts inside of
    dictionaries and lists in another form (a line break as backslash and n), which it doesn't find.
    """

    def log(self, msg: str, log_args: dict[str, Any] | None = None) -> None:
        if log_args and self.no_log_values:
            msg, log_args = "Invoked with options that hold secrets, so none is logged", None
        super().log(msg, log_args)  # type: ignore[no-untyped-call]


def run_module(spec: ModuleSpec, operation: Operation) -> None:
    """Run `operation` for all items of a module call and end the module."""
    module = _Module(  # type: ignore[no-untyped-call]
        argument_spec=spec.argument_spec, supports_check_mode=True, **spec.constraints
    )
    tools = Tools(version=VERSION)
    run = _Run(module, operation, tools, key=spec.key)
    try:
        with _as_errors():
            run.all(spec.items(module.params))
    except ImageOpsError as error:
        run.fail(error)
    finally:
        tools.close()
    run.finish()


@contextlib.contextmanager
def _as_errors() -> Iterator[None]:
    """Say an operating system's error as one sentence of ours."""
    try:
        yield
    except OSError as error:
        raise system_error(error) from error


class _Run:
    def __init__(self, module: AnsibleModule, operation: Operation, tools: Tools, *, key: str) -> None:
        self._module = module
        self._operation = operation
        self._items: list[Item] = []
        self._tools = tools
        self._key = key

    def all(self, items: list[dict[str, Any]]) -> None:
        """Expand, join, lock, plan; refuse, or apply and wait."""
        self._items = [Item(params) for params in items]
        self._items = [
            Item(params) for item in self._items for params in self._operation.expand(item.params, self._tools)
        ]
        for item in self._items:
            self._join(item)
        names = [name for item in self._items for name in self._operation.locks(item.params, self._tools)]
        seconds = self._module.params.get("lock_timeout", self._operation.lock_timeout)
        with held(names, timeout=seconds, wait=self._wait_for_lock):
            self._plan_all()
            if self._module.check_mode:
                for item in self._items:
                    self._foretell(item)
                return
            self._apply_all()
        self._in_parallel([item for item in self._items if item.applied], self._finish_item, _MOST_WAITS)

    def _join(self, item: Item) -> None:
        if not self._module.check_mode and self._operation.join(item.params, self._tools):
            item.joined = item.changed = True

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
            return False

        return self._tools.clock.wait_until(look, timeout)

    def _plan_all(self) -> None:
        for item in self._items:
            with self._catching(item):
                item.plan = self._operation.plan(item.params, self._tools)
        refused = [item for item in self._items if item.error]
        if refused:
            raise _refusal(refused, len(self._items))

    def _apply_all(self) -> None:
        """Apply in order; neighbours that don't rest on each other run side by side."""
        group: list[Item] = []
        most = self._module.params.get("parallel") or self._operation.parallel
        for item in self._items:
            if item.plan and item.plan.provisional:
                self._in_parallel(group, self._apply, most)
                group = []
            group.append(item)
        self._in_parallel(group, self._apply, most)

    def _in_parallel(self, items: list[Item], act: Callable[[Item], None], most: int) -> None:
        if min(most, len(items)) <= 1:
            for item in items:
                act(item)
            return
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
            item.applied = True

    def _run_steps(self, item: Item, plan: Plan) -> None:
        for upkeep in plan.upkeep:
            upkeep.run()
        for number, step in enumerate(plan.steps, start=1):
            # A step that failed changed nothing, unless others came before it.
            item.changed = item.changed or number > 1
            step.run()
        item.changed = item.changed or plan.changed

    def _finish_item(self, item: Item) -> None:
        with self._catching(item):
            found: dict[str, Any] = {}
            for wait in item.plan.waits if item.plan else ():
                found.update(wait.run())
            item.result = {**(item.plan.observe() if item.plan else {}), **found}

    @contextlib.contextmanager
    def _catching(self, item: Item) -> Iterator[None]:
        try:
            with _as_errors():
                yield
        except ImageOpsError as error:
            item.error = error

    def outcome(self) -> dict[str, Any]:
        """What is returned however the run ends."""
        result: dict[str, Any] = {
            "changed": any(item.changed for item in self._items),
            self._operation.result: [self._item_result(item) for item in self._items],
        }
        if self._module._diff:
            result["diff"] = [_diff(item.plan) for item in self._items if item.plan and item.plan.changed]
        return result

    def _item_result(self, item: Item) -> dict[str, Any]:
        info = item.plan.info if item.plan else {}
        result = {**info, **item.result, "changed": item.changed}
        if item.plan:
            result["steps"] = [step.title for step in item.plan.steps]
        if item.joined:
            result["joined"] = True
        if item.error:
            result = {**item.error.details, **result, "failed": True, "msg": str(item.error)}
        # What failed before anything was found is told apart by what was asked for.
        return {self._key: item.params[self._key], **result} if self._key else result

    def finish(self) -> None:
        """End the module: exit, or fail with what went wrong in the items."""
        failed = [item for item in self._items if item.error]
        if failed:
            self.fail(_refusal(failed, len(self._items)))
        self._warn()
        self._module.exit_json(**self.outcome())

    def fail(self, error: ImageOpsError) -> None:
        """End the module with `error`; what was done and found until then is told all the same."""
        self._warn()
        self._module.fail_json(**{**error.details, **self.outcome(), "msg": str(error)})

    def _warn(self) -> None:
        for item in self._items:
            for warning in item.plan.warnings if item.plan else ():
                self._module.warn(warning)


def _refusal(items: list[Item], total: int) -> ImageOpsError:
    """One error for all refused items: its own sentence for one, a list of sentences for more."""
    errors = [item.error for item in items if item.error]
    if total == 1 or len(errors) == 1:
        return errors[0]
    return ImageOpsError(f"{len(errors)} of {total} items can't be done: " + " ".join(str(error) for error in errors))


def _diff(plan: Plan) -> dict[str, Any]:
    """Before and after of the facts that are planned, as text that reads well."""
    return {
        "before_header": plan.item,
        "after_header": plan.item,
        "before": _text(plan.before),
        "after": _text(plan.after),
    }


def _text(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=2, sort_keys=True, default=str) + "\n" if facts else ""
