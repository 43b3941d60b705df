# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The job that makes the disks of all clones that one task wants of one source: the source is read once for all of them."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from .._errors import ImageOpsError
from .._hypervisor.qmp_process import SCHEME
from .._jobs.attended import Pending, attended
from .._jobs.launch import Job, finish, running, start
from .._jobs.state import job_dir, job_id, job_path, read_request, read_state
from .._plan import Step
from .long_work import bandwidth_of, join_job, lease_of_task
from .operation import Tools
from .vm_clone_copy import CloneDisk
from .vm_clone_disks import space_for
from .vm_clone_work import values_of

_KIND = "clone"
# What the module copies itself: a job takes longer to begin.
_QUICK = 64 << 20


@dataclass
class Group:
    """The clones of one source; complete when all items of the task are planned, and made when the first of them is applied."""

    uri: str
    source: str
    uuid: str
    quiesce_timeout: int = 0
    bandwidth: int | None = None
    clones: dict[str, dict[str, Any]] = field(default_factory=dict)
    sources: dict[str, Any] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _facts: dict[str, Any] | None = None
    _failure: BaseException | None = None

    def add(self, name: str, disks: list[CloneDisk], params: dict[str, Any]) -> None:
        """Have one more clone; the slowest pace and the guest held still are for all."""
        self.clones[name] = {
            "name": name,
            "disks": [values_of(disk) for disk in disks],
            "edit": params["identity"] == "edit",
        }
        for disk in disks:
            self.sources[disk.source.path] = disk.mark()
        self.quiesce_timeout = max(self.quiesce_timeout, params["quiesce_timeout"] if params["quiesce"] else 0)
        limits = [limit for limit in (self.bandwidth, bandwidth_of(params)) if limit]
        self.bandwidth = min(limits) if limits else None

    def job(self, version: str) -> Job:
        """The job that does it; equal tasks give equal jobs."""
        params = {
            "uri": self.uri,
            "source": self.source,
            "uuid": self.uuid,
            "quiesce_timeout": self.quiesce_timeout,
            "bandwidth": self.bandwidth,
            "clones": [self.clones[name] for name in sorted(self.clones)],
            "sources": self.sources,
            "version": version,
        }
        return Job(_KIND, _target(self.source, self.uri), params, _entry)

    def make(self, tools: Tools, params: dict[str, Any]) -> dict[str, Any]:
        """Do the job, unless another item of the task has done it; its facts."""
        with self._lock:
            if self._facts is None and self._failure is None:
                try:
                    self._facts = self._done(self.job(tools.version), tools, params)
                except (ImageOpsError, Pending) as failure:
                    self._failure = failure
        if self._facts is None:
            raise self._failure or RuntimeError("neither done nor failed")
        return dict(self._facts)

    def _done(self, job: Job, tools: Tools, params: dict[str, Any]) -> dict[str, Any]:
        from .._jobs.waiting import ended_state, job_facts

        made = all(os.path.lexists(disk["path"]) for one in self.clones.values() for disk in one["disks"])
        if made and job.id in (attended() or {}) and running(job, tools.clock) is None:
            # This task has waited for it already.
            return job_facts(ended_state(read_state(job.id), job.id, job.target))
        start(job, tools.clock, tools.commands, lease=lease_of_task(params))
        return job_facts(finish(job, tools.clock, timeout=params["timeout"] or None))


def _target(source: str, uri: str) -> str:
    """A QEMU process is named by its socket: many have no name."""
    return f"a clone of {uri if uri.startswith(SCHEME) else source}"


def _entry() -> str:
    from . import vm_clone_job

    return vm_clone_job.__name__


def disk_steps(
    params: dict[str, Any], uuid: str, disks: list[CloneDisk], tools: Tools, info: dict[str, Any]
) -> list[Step]:
    """The steps that make an item's disks; the facts of the job, where it is one, go into `info["job"]`."""
    if not any(disk.pulled or disk.edited for disk in disks) and sum(map(space_for, disks)) <= _QUICK:
        return [Step(disk.title, partial(disk.make, tools.commands, tools.version, disk.mark())) for disk in disks]
    noted = tools.forecast.setdefault(f"clones of {params['source']} at {params['uri']}", {})
    group: Group = noted.setdefault("group", Group(params["uri"], params["source"], uuid))
    group.add(params["name"], disks, params)

    def run() -> None:
        info["job"] = group.make(tools, params)

    titles = [disk.title for disk in disks] + [f"edit the guest {params['name']}"] * any(disk.edited for disk in disks)
    return [Step("; ".join(titles), run)]


def join_running(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that makes just this clone already, perhaps with others."""
    if not params["source"]:
        return False
    target = _target(params["source"], params["uri"])
    identifier = job_id(_KIND, target)
    if not os.path.exists(job_path(identifier, "request.json")):
        return False
    asked = read_request(job_dir(identifier))["params"]
    job = Job(_KIND, target, asked, _entry)
    return _has_clone(asked, params) and join_job(job, tools, params=params)


def _has_clone(asked: dict[str, Any], params: dict[str, Any]) -> bool:
    """Whether a job that was `asked` for this makes the clone."""
    return asked["uri"] == params["uri"] and any(one["name"] == params["name"] for one in asked["clones"])


def job_of(params: dict[str, Any], tools: Tools) -> str | None:
    """The id of the job that makes the clone's disks, in a run that comes after such a job."""
    if not attended() or not params["source"]:
        return None
    identifier = job_id(_KIND, _target(params["source"], params["uri"]))
    if params["uri"].startswith(SCHEME):
        known = os.path.exists(job_path(identifier, "request.json"))
        return identifier if known and _has_clone(read_request(job_dir(identifier))["params"], params) else None
    return identifier if tools.hypervisor(params["uri"]).domain(params["name"]) is None else None
