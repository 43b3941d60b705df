# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The helper's side of a job: take the lock, do the work, leave a state that tells how it ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any, Callable

from .._errors import EngineError, ImageOpsError, InUse, system_error
from .._locks import wait_for_lock
from .clock import Clock
from .handover import masked, take_over
from .lease import expired
from .leaves import remove_leaves
from .progress import Progress
from .state import CANCELLED, DONE, FAILED, RUNNING, JobState, read_request, read_state, write_state

Work = Callable[[dict[str, Any], Progress, int], dict[str, Any]]
_LOCK_SECONDS = 20.0
_LEASE_SECONDS = 1.0


class _Stopped(BaseException):
    """SIGTERM arrived: unwind, so that partial files go."""


def _stop(signum: int, frame: Any) -> None:
    # Once is enough: a second one must not cut the tidying short.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped


def run_job(directory: str, work: Work) -> int:
    """Do the job in `directory`; the exit code.

    The work function gets the params (with the job's secrets, if it has any, as `secrets`), a Progress, and the descriptor
    of the lock, which every engine it starts must inherit.
    """
    request = read_request(directory)
    state = read_state(os.path.basename(directory))
    if state is None:
        sys.stderr.write(f"no state in {directory}\n")
        return 2
    if state.ended:
        sys.stderr.write("given up before it began\n")
        return 1
    signal.signal(signal.SIGTERM, _stop)
    clock = Clock()
    secrets: dict[str, Any] = {}
    over = threading.Event()
    try:
        secrets = take_over(directory) if request.get("secrets") else {}
        lock = _take_lock(request["lock"], clock)
        for name in request.get("shared", ()):
            _take_lock(name, clock, shared=True)
        state.status, state.pid = RUNNING, os.getpid()
        write_state(state)
        _watch_lease(state, clock, over)
        progress = Progress(state, clock)
        state.result = work({**request["params"], **({"secrets": secrets} if secrets else {})}, progress, lock)
        progress.end_phase()
        state.status, state.percent, state.eta = DONE, 100.0, 0.0
    except _Stopped:
        state.status = CANCELLED
    except ImageOpsError as error:
        _fail(state, error)
    except OSError as error:
        _fail(state, system_error(error))
    finally:
        over.set()
        if not state.ended:
            _fail(state, EngineError(f"The job {state.id} ended unexpectedly; its log is {directory}/log."))
        _end(state, clock, secrets)
    return 0 if state.status == DONE else 1


def _end(state: JobState, clock: Clock, secrets: dict[str, Any]) -> None:
    """Clean what the work left, and write the last state."""
    remove_leaves(state.leaves)
    state.leaves = []
    state.error, state.result = masked(state.error, secrets), masked(state.result, secrets)
    state.updated = clock.time()
    write_state(state)


def _watch_lease(state: JobState, clock: Clock, over: threading.Event) -> None:
    """From now on stop this process, as SIGTERM does, when nobody has asked for the job in time."""
    main = threading.main_thread().ident

    def watch() -> None:
        while not over.wait(_LEASE_SECONDS):
            lease = expired(state.id, clock)
            if lease is not None and main is not None:
                state.reason = f"nobody asked for it for {lease.timeout} seconds"
                signal.pthread_kill(main, signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()


def _fail(state: JobState, error: ImageOpsError) -> None:
    state.status = FAILED
    state.error = {"type": type(error).__name__, "message": str(error), "details": error.details}


def _take_lock(name: str, clock: Clock, *, shared: bool = False) -> int:
    handle = wait_for_lock(name, timeout=_LOCK_SECONDS, wait=clock.wait_until, inheritable=not shared, shared=shared)
    if handle is None:
        raise InUse(
            f"{name.partition(':')[2]} is being written by another job; run the task again when that one has ended."
        )
    return handle
