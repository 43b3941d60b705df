# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state file of a job: what it does, how far it is, how it ended.

A job lives in `<state dir>/jobs/<id>/`: `request.json` (what to do), `state.json` (this file's subject, written
whole each time), `log` (what the helper printed), `lease` (lease.py). All are 0600: a request may hold paths that others needn't see.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from .._files import state_dir, state_top, write_bytes

STARTING = "starting"
RUNNING = "running"
DONE = "done"
FAILED = "failed"
CANCELLED = "cancelled"
# How a job was started.
UNIT, SESSION = "systemd-run", "setsid"


@dataclass
class JobState:
    """How a job stands. Sizes are bytes, times are seconds since the epoch, rate is bytes a second, eta seconds.

    `target` is the object that it writes; `leaves` are the paths to clean when it dies; `phases` are those that ended, each
    with name, bytes, seconds and rate; `reason` says why it was cancelled. `on_interrupt` and `lease_timeout` say what
    becomes of it when nobody asks for it any more. `starter` is the process that started it. `lock` is what it holds while it
    works; without one, the lock of who writes `target`.
    """

    id: str
    kind: str
    request: str
    status: str = STARTING
    launcher: str = ""
    phase: str = ""
    percent: float = 0.0
    done: int = 0
    total: int = 0
    rate: float | None = None
    eta: float | None = None
    pid: int = 0
    started: float = 0.0
    updated: float = 0.0
    result: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)
    target: str = ""
    leaves: list[str] = field(default_factory=list)
    phases: list[dict[str, Any]] = field(default_factory=list)
    reason: str = ""
    on_interrupt: str = "detach"
    lease_timeout: int = 60
    starter: int = 0
    lock: str = ""

    @property
    def ended(self) -> bool:
        return self.status in (DONE, FAILED, CANCELLED)


def job_id(kind: str, target: str, question: str = "") -> str:
    """The id of the job that writes `target`: one object, one job. Of those that only read it each `question` has its own."""
    words = [target, question] if question else [target]
    return "-".join([kind, *(hashlib.sha256(os.fsencode(word)).hexdigest()[:16] for word in words)])


def unit_name(identifier: str) -> str:
    """The systemd unit that a job runs as."""
    return f"imageops-job-{identifier}"


def unit_file(identifier: str) -> str:
    """The file that is there while systemd knows the unit."""
    return f"/run/systemd/transient/{unit_name(identifier)}.service"


def digest(request: dict[str, Any]) -> str:
    """What tells two requests apart."""
    return hashlib.sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()


def job_dir(identifier: str) -> str:
    """The job's folder, made when missing."""
    return state_dir("jobs", identifier)


def job_path(identifier: str, *names: str) -> str:
    """The path of the job's folder, or of a file in it; nothing is made."""
    return os.path.join(state_top(), "jobs", identifier, *names)


def _write(path: str, data: dict[str, Any], *, durable: bool = False) -> None:
    """Replace a small JSON file; most only have to survive the process, so they aren't flushed."""
    write_bytes(path, json.dumps(data, sort_keys=True, default=str).encode(), durable=durable)


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, encoding="utf-8") as stream:
            loaded = json.load(stream)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return loaded if isinstance(loaded, dict) else None


def write_state(state: JobState, *, durable: bool = False) -> None:
    """Write the state file; a `durable` one survives a power cut."""
    _write(os.path.join(job_dir(state.id), "state.json"), asdict(state), durable=durable)


def read_state(identifier: str) -> JobState | None:
    """The state of a job, None when there never was one (or a later version wrote it)."""
    loaded = _read(job_path(identifier, "state.json"))
    known = set(JobState.__dataclass_fields__)
    if loaded is None or not {"id", "kind", "request"} <= set(loaded) <= known:
        return None
    return JobState(**loaded)


def has_ended(identifier: str) -> bool:
    """Whether there is no such job, or it has said how it ended."""
    state = read_state(identifier)
    return state is None or state.ended


def write_request(identifier: str, request: dict[str, Any]) -> None:
    """Write what the job shall do."""
    _write(os.path.join(job_dir(identifier), "request.json"), request)


def read_request(directory: str) -> dict[str, Any]:
    """What the job in `directory` shall do; raises ValueError when it isn't there."""
    loaded = _read(os.path.join(directory, "request.json"))
    if loaded is None:
        raise ValueError(f"no request in {directory}")
    return loaded


def log_tail(identifier: str, *, lines: int = 5) -> str:
    """The last lines of a job's log."""
    try:
        with open(job_path(identifier, "log"), encoding="utf-8", errors="replace") as stream:
            return "".join(stream.readlines()[-lines:]).strip()
    except FileNotFoundError:
        return ""
