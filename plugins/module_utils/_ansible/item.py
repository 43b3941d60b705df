# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One item of a module call on its way: options, plan, and what the result says of it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import ImageOpsError, system_error
from .._plan import Plan


@dataclass
class Item:
    """Options, plan, result or error.

    `waits_for` describes the job that the action plugin waits for; an item that is `left` is done by a later run.
    """

    params: dict[str, Any]
    plan: Plan | None = None
    joined: bool = False
    result: dict[str, Any] = field(default_factory=dict)
    error: ImageOpsError | None = None
    applied: bool = False
    changed: bool = False
    job: dict[str, Any] = field(default_factory=dict)
    waits_for: dict[str, Any] = field(default_factory=dict)
    left: bool = False

    @property
    def unfinished(self) -> bool:
        """Whether another run of the module has to finish the item."""
        return self.left or bool(self.waits_for)

    @property
    def waits(self) -> bool:
        """Whether it waits for something after its steps; items do that side by side, and only look faster one by one."""
        return bool(self.plan and self.plan.waits)

    @property
    def diff(self) -> dict[str, Any] | None:
        """Before and after of the facts that are planned, as text that reads well; None when nothing changes."""
        if self.left or not self.plan or not self.plan.changed:
            return None
        return {
            "before_header": self.plan.item,
            "after_header": self.plan.item,
            "before": _text(self.plan.before),
            "after": _text(self.plan.after),
        }

    def told(self, key: str) -> dict[str, Any]:
        """The item's entry in the result list; `key` names the option by which items are told apart."""
        info = self.plan.info if self.plan else {}
        result = {**({"job": self.job} if self.job else {}), **info, **self.result, "changed": self.changed}
        if self.plan and not self.left:
            result["steps"] = [step.title for step in self.plan.steps]
        if self.joined:
            result["joined"] = True
        if self.unfinished:
            result["pending"] = True
        if self.error:
            result = {**self.error.details, **result, "failed": True, "msg": str(self.error)}
        # What failed before anything was found is told apart by what was asked for.
        return {key: self.params[key], **result} if key in self.params else result


def refusal(items: Sequence[Item], total: int) -> ImageOpsError:
    """One error for all refused items: its own sentence for one, a list of sentences for more."""
    errors = [item.error for item in items if item.error]
    if total == 1 or len(errors) == 1:
        return errors[0]
    return ImageOpsError(f"{len(errors)} of {total} items can't be done: " + " ".join(str(error) for error in errors))


@contextlib.contextmanager
def as_errors() -> Iterator[None]:
    """Say an operating system's error as one sentence of ours."""
    try:
        yield
    except OSError as error:
        raise system_error(error) from error


def _text(facts: dict[str, Any]) -> str:
    return json.dumps(facts, indent=2, sort_keys=True, default=str) + "\n" if facts else ""
