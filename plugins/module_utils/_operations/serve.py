# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers of images on this host: one for each port, each a job of the host helper."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from .._errors import EngineError
from .._files import fingerprint
from .._jobs.launch import Job, running, start
from .._jobs.state import JobState, digest, read_state
from .._locks import wait_for_lock
from .operation import Tools

KIND = "serve"
_START_SECONDS = 30.0
_STOP_SECONDS = 30.0
_INTERVAL = 0.05


@dataclass(frozen=True)
class ServeRequest:
    """What is to be served: the OCI image layout in `layout`, or the cache in `packs`, which goes when the server ends.

    With a `token` only those are answered who know it. After `linger` seconds without a request, and without something new in the
    cache, the server ends by itself; 0 is never. `bandwidth` is in bytes a second, 0 for no limit.
    """

    port: int
    address: str = "0.0.0.0"
    layout: str = ""
    packs: str = ""
    token: str = field(default="", repr=False)
    certificate: str = ""
    key: str = ""
    linger: int = 0
    bandwidth: int = 0


def server_target(port: object) -> str:
    """What the job of a port's server is said to work on."""
    return f"the server on port {port}"


def server_job(request: ServeRequest, tools: Tools) -> Job:
    """The job of that server; equal requests give equal jobs."""
    params = {
        "port": request.port,
        "address": request.address,
        "layout": request.layout,
        "packs": request.packs,
        "certificate": request.certificate,
        "key": request.key,
        # A renewed one is read by a new server.
        "certificates": [_state(path) for path in (request.certificate, request.key) if path],
        "linger": request.linger,
        "bandwidth": request.bandwidth,
        "version": tools.version,
        # Tells two tokens apart, and is no way back to one.
        "token": _proof(request),
    }
    secrets = {"token": request.token} if request.token else {}
    return Job(KIND, server_target(request.port), params, _entry, secrets=secrets)


def _entry() -> str:
    from . import serve_job

    return serve_job.__name__


def _state(path: str) -> dict[str, Any] | None:
    found = fingerprint(path)
    return found.as_dict() if found else None


def _proof(request: ServeRequest) -> str:
    if not request.token:
        return ""
    return hashlib.pbkdf2_hmac("sha256", request.token.encode(), f"port {request.port}".encode(), 10_000).hex()[:32]


def server_state(job: Job, tools: Tools) -> JobState | None:
    """The state of the server on the job's port, None when none runs."""
    return running(job, tools.clock)


def is_same(job: Job, state: JobState | None) -> bool:
    """Whether the server that runs is just the one that is asked for."""
    return state is not None and state.request == digest(job.params)


def start_server(job: Job, tools: Tools) -> JobState:
    """Start the server, and wait until it listens; another one on its port is ended before. Raises what keeps it from listening."""
    from .serve_job import SERVING

    with _alone(job, tools):
        state = server_state(job, tools)
        if state is not None and not is_same(job, state):
            stop_server(job, tools)
        start(job, tools.clock, tools.commands)

    def settled() -> bool:
        found = read_state(job.id)
        return found is None or found.ended or found.phase == SERVING

    tools.clock.wait_until(settled, _START_SECONDS, interval=_INTERVAL)
    return _require_serving(job, SERVING)


@contextlib.contextmanager
def _alone(job: Job, tools: Tools) -> Iterator[None]:
    """Nobody else starts the server of the job's port meanwhile, such as the next image of the same task, which shares it."""
    handle = wait_for_lock(
        f"start of {job.target}", timeout=_START_SECONDS + _STOP_SECONDS, wait=tools.clock.wait_until
    )
    try:
        yield
    finally:
        if handle is not None:
            os.close(handle)


def _require_serving(job: Job, phase: str) -> JobState:
    from .._jobs.waiting import error_of

    state = read_state(job.id)
    if state is not None and state.error:
        raise error_of(state)
    if state is None or state.ended or state.phase != phase:
        raise EngineError(
            f"{job.target} did not begin to listen within {_START_SECONDS:g} seconds; look at the job {job.id}.",
            job=job.id,
        )
    return state


def stop_server(job: Job, tools: Tools) -> None:
    """End the server on the job's port, when one runs."""
    from .._jobs.stopping import stop

    state = server_state(job, tools)
    if state is not None:
        stop(state, tools.clock, tools.commands, timeout=_STOP_SECONDS)
