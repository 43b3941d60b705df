# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work on a chain, as the host helper does it: look again, then do the one act that is left to do."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any, Callable

from .._errors import InUse
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._jobs.running import write_lock
from .._jobs.worker import run_job
from .._locks import wait_for_lock
from .base_files import alone
from .disk_chain_act import ANEW, COMMIT, COPY_UP, HEADER, TIDY, Act, decide
from .disk_chain_commit import commit, tidy
from .disk_chain_request import ChainRequest
from .disk_chain_rest import change_header, copy_up, write_anew
from .disk_chain_use import changed_files, require_free
from .disk_chain_work import Work
from .operation import Tools

_LOCK_SECONDS = 20.0
_ACTS: dict[str, Callable[[Work], None]] = {
    COPY_UP: copy_up,
    HEADER: change_header,
    ANEW: write_anew,
    COMMIT: commit,
    TIDY: tidy,
}


def change(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Do what `params` (a ChainRequest) asks for; facts for the task's result.

    Whatever is killed, the image reads as before, or as it shall.
    """
    request = ChainRequest.carried(params["request"])
    progress.phase("inspect")
    act = decide(request)
    if act.kind in _ACTS:
        with _locked(request, act.leftover) as others, _unused(request, act, params["search_paths"]):
            _ACTS[act.kind](Work.of(request, act, progress, locks=(lock, *others), tool=params["tool"]))
    return {"act": act.kind, "verify": request.verify}


@contextlib.contextmanager
def _locked(request: ChainRequest, removed: tuple[str, ...]) -> Iterator[tuple[int, ...]]:
    """Besides the lock of the job's target, those of all files that will go."""
    taken: list[int] = []
    target = request.into or request.path
    try:
        for path in sorted({request.path, *removed} - {target}):
            handle = wait_for_lock(write_lock(path), timeout=_LOCK_SECONDS, wait=Clock().wait_until, inheritable=True)
            if handle is None:
                raise InUse(f"{path} is being written by another job; run the task again when that one has ended.")
            taken.append(handle)
        yield tuple(taken)
    finally:
        for handle in taken:
            os.close(handle)


@contextlib.contextmanager
def _unused(request: ChainRequest, act: Act, search_paths: Sequence[str]) -> Iterator[None]:
    """Held while a commit changes its base and removes what is above: nobody makes disks from them, and nobody did since the plan."""
    files = changed_files(act)
    with contextlib.ExitStack() as stack:
        for path in sorted(files):
            stack.enter_context(alone(path, Clock()))
        if files:
            with contextlib.closing(Tools()) as tools:
                require_free(request, act, tools, search_paths=search_paths)
        yield


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], change)
