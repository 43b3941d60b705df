# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The backing chain of an image: shortened, rested on another file, or committed into a lower one, by a job."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

from .._commands import require_program
from .._errors import ImageOpsError, InvalidOption
from .._files import fingerprint, partial_path, real_path, require_writable_folder
from .._formats.chain import BACKING, IMAGE, inspect_chain
from .._jobs.launch import Job
from .._jobs.state import job_id
from .._plan import KNOWN_AFTER, Plan, Step
from .._qemu.image import PROGRAM as QEMU_IMG
from .disk_chain_act import ANEW, COMMIT, COPY_UP, HEADER, NOTHING, TIDY, Act, decide
from .disk_chain_layers import shown
from .disk_chain_request import ChainRequest, read_request
from .disk_chain_use import droppable, removable, remove_unused, require_free, unused_of
from .image_layers import Layers
from .long_work import job_step, join_job
from .operation import Operation, Tools

_KIND = "chain"


def plan_chain(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one chain; raises what speaks against it."""
    request = read_request(params)
    provisional = _claim(request, params, tools)
    act = decide(request)
    search = params["search_paths"] or ()
    require_free(request, act, tools, search_paths=search)
    _require_engine(request, act)
    item = _Item(request, act, params, tools)
    tools.forecast[request.into or request.path] = tools.forecast[request.path] = {"chain": item.foreseen()}
    return item.plan(provisional)


def _claim(request: ChainRequest, params: dict[str, Any], tools: Tools) -> bool:
    """Whether an earlier item changes a file of this chain; raises InvalidOption for one that is named or written twice."""
    claims, written = (tools.forecast.setdefault(f"chain:{kind}", {}) for kind in ("claims", "written"))
    if claims.setdefault(request.path, id(params)) != id(params):
        raise InvalidOption(f"path: {request.path} is named twice in the list; give each image once.")
    # Jobs are known by what they write.
    target = request.into or request.path
    if written.setdefault(target, id(params)) != id(params):
        raise InvalidOption(
            f"{'commit.into' if request.into else 'path'}: {target} is written by another item of the list too; do one after the "
            f"other, each in a task of its own."
        )
    return any(name in tools.forecast for name in _files(request) if name != request.path)


def _files(request: ChainRequest) -> list[str]:
    """Every file that the item reads or writes, by the headers as they are now."""
    others = [request.into or "", request.backing.path if request.backing else ""]
    layers = Layers()
    named = [request.path, *(name for name in others if name)]
    return [file for name in named for file in layers.chain(name)]


def _require_engine(request: ChainRequest, act: Act) -> None:
    if act.kind in (COPY_UP, COMMIT):
        from .._qemu.storage_daemon import PROGRAM as STORAGE_DAEMON
        from .._qmp.client import library

        library()
        require_program(STORAGE_DAEMON)
    if act.kind not in (NOTHING, TIDY):
        require_program(QEMU_IMG)
        require_writable_folder(request.path, option="path")


class _Item:
    """One item: what it has, what it gets, how."""

    def __init__(self, request: ChainRequest, act: Act, params: dict[str, Any], tools: Tools) -> None:
        self._request, self._act, self._params, self._tools = request, act, params, tools
        self._search = params["search_paths"] or ()
        self._before = shown(act.layers)
        self._info: dict[str, Any] = {}
        self._removed: list[str] = []
        kept = {layer["path"] for layer in self.foreseen()}
        self._dropped = [layer["path"] for layer in self._before if layer["path"] not in kept] or droppable(
            request.path
        )

    def plan(self, provisional: bool) -> Plan:
        """The plan; a job when the chain is not what is declared, and removals when they are wanted."""
        steps = [*self._job(), *self._removal()]
        return Plan(
            self._request.path,
            {"path": self._request.path, "chain": self._before},
            {"path": self._request.path, "chain": self.foreseen() if steps else self._before},
            self._observe,
            steps=tuple(steps),
            info=self._info,
            provisional=provisional,
            foretell=partial(self._result, self.foreseen(), self._dropped),
        )

    def foreseen(self) -> list[dict[str, Any]]:
        """The chain as the act will make it."""
        act, before = self._act, self._before
        if act.kind in (NOTHING, TIDY):
            return before
        top = {**before[0], "allocated_size": KNOWN_AFTER}
        if act.kind == COMMIT:
            base = act.base or 0
            target = {**before[base], "virtual_size": top["virtual_size"], "allocated_size": KNOWN_AFTER}
            return [*([top] if self._request.keep else []), target, *before[base + 1 :]]
        below = shown(act.new_base.chain) if act.new_base else before[act.base :] if act.base else []
        return [top, *below]

    def _job(self) -> list[Step]:
        if self._act.kind == NOTHING:
            return []
        job = job_of_request(self._request, self._tools.version, search_paths=self._search)
        leftover = " (an unfinished one is thrown away)" if os.path.lexists(partial_path(self._request.path)) else ""
        title = _title(self._request, self._act) + leftover
        return [job_step(title, job, self._tools, params=self._params, info=self._info)]

    def _removal(self) -> list[Step]:
        """After the job, look again who needs what was dropped."""
        if not self._params["remove_unused"] or not self._dropped or self._request.into:
            return []
        if self._act.kind == NOTHING and not removable(self._dropped, self._tools, search_paths=self._search):
            return []
        run = partial(remove_unused, self._dropped, self._tools, search_paths=self._search, removed=self._removed)
        return [Step(f"remove those of {', '.join(self._dropped)} that are ours and not used", run)]

    def _observe(self) -> dict[str, Any]:
        path = self._request.path if fingerprint(self._request.path) else self._request.into or ""
        layers = [link for link in inspect_chain(path) if link.role in (IMAGE, BACKING)]
        left = unused_of(self._dropped, self._tools, search_paths=self._search)
        return self._result(shown(layers), left)

    def _result(self, chain: list[dict[str, Any]], unused: list[str]) -> dict[str, Any]:
        return {
            "path": self._request.path,
            "chain_before": self._before,
            "chain_after": chain,
            "unused": unused,
            "removed": self._removed,
        }


def _title(request: ChainRequest, act: Act) -> str:
    below = f"rest {request.path} on {act.below.path}" if act.below else f"flatten {request.path}"
    return {
        COPY_UP: f"{below}, its content stays",
        ANEW: f"{below}, its content stays",
        HEADER: f"{below} (its header only)",
        COMMIT: f"commit {request.path} into {request.into}",
        TIDY: f"remove {', '.join(act.leftover)}, committed into {request.into}",
    }[act.kind]


def job_of_request(request: ChainRequest, version: str, *, search_paths: Sequence[str]) -> Job:
    """The job that does it; its target is the file that is written. Equal requests give equal jobs."""
    params = {"request": asdict(request), "search_paths": list(search_paths), "tool": f"imageops.fleet {version}"}
    return Job(_KIND, request.into or request.path, params, _entry)


def _entry() -> str:
    from . import disk_chain_job

    return disk_chain_job.__name__


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """All files of the chain; the job itself holds the lock of what it writes."""
    try:
        return _files(read_request(params))
    except ImageOpsError:
        return []


def join_running(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that does just this already."""
    try:
        request = read_request(params)
    except ImageOpsError:
        return False
    job = job_of_request(request, tools.version, search_paths=params["search_paths"] or ())
    return join_job(job, tools, params=params)


def job_of(params: dict[str, Any], tools: Tools) -> str | None:
    """The id of the job that does this item."""
    target = (params["commit"] or {}).get("into") or params["path"]
    return job_id(_KIND, real_path(target)) if target else None


OPERATION = Operation(plan=plan_chain, result="disks", locks=locks, join=join_running, job_id=job_of, parallel=2)
