# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest installed from scratch: the record of a finished disk first, then every look at the host; the work is a job."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from typing import Any

from .._errors import Conflict, InvalidOption
from .._files import fingerprint, real_path, require_folder, require_writable_folder
from .._jobs.launch import Job
from .._plan import Plan
from .._records import Record, read_record
from .claims import claim
from .long_work import check_timeout, job_step, job_writing, join_job
from .operation import Operation, Tools
from .ownership import check_ownership
from .vm_install_request import InstallRequest, is_same_media, read_request

OPERATION_NAME = "install"
_KIND = "install"
_ANSWERS = "answers"
_AT_ONCE = 4


def plan_install(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one installation; raises what speaks against it."""
    check_timeout(params)
    request = read_request(params)
    claim([request.path], tools, option="path", changes=True)
    record = read_record(request.path) if os.path.exists(request.path) else None
    if is_installed(request, record):
        facts = _facts(request, record)
        return Plan(request.path, facts, facts, lambda: facts)
    before = _before(request, record)
    job = _planned(request, tools)
    info: dict[str, Any] = {}
    after = {"path": request.path, "state": "installed", "format": request.format, "virtual_size": request.size}
    step = job_step(f"install {request.path} from {_source(request)}", job, tools, params=params, info=info)
    return Plan(request.path, before, after, lambda: _observed(request), steps=(step,), info=info)


def _planned(request: InstallRequest, tools: Tools) -> Job:
    """The job, once nothing on the host speaks against it."""
    from .vm_install_checks import machine_for, require_host

    require_folder(request.path, option="path")
    require_writable_folder(request.path, option="path")
    if request.size is None:
        raise InvalidOption(f"size: {request.path} isn't installed yet, and a new disk needs a size, such as 20GiB.")
    connection = tools.hypervisor(request.uri)
    check_ownership(path=request.path, **_ownership(request))
    require_host(request, connection, tools, at_once=_AT_ONCE)
    return job_of_request(request, machine_for(request, connection), tools.version)


def is_installed(request: InstallRequest, record: Record | None) -> bool:
    """Whether the disk is what this task installs; that a guest wrote to it since doesn't count."""
    return (
        record is not None
        and record.operation == OPERATION_NAME
        and record.format == request.format
        and record.options == {**request.declared(), **({} if request.size else _size_of(record))}
        and is_same_media(request.made_from(), record.source.get("media"))
    )


def _size_of(record: Record) -> dict[str, Any]:
    """A task that tells no size takes the disk as it is."""
    return {name: value for name, value in record.options.items() if name == "size"}


def _before(request: InstallRequest, record: Record | None) -> dict[str, Any]:
    if not os.path.lexists(request.path):
        return {"path": request.path, "state": "absent"}
    what = "was installed with other media, answers or options" if _is_ours(record) else "was made by something else"
    if os.path.isdir(request.path) or not os.path.isfile(request.path):
        raise Conflict(
            f"path: {request.path} is no regular file, and a new disk would take its place; give another path."
        )
    if not request.params["force"]:
        raise Conflict(
            f"path: {request.path} exists and {what}; remove it, give another path, or use 'force: true' to have it replaced once the new "
            f"installation is complete."
        )
    return {"path": request.path, "state": f"there, and {what}"}


def _is_ours(record: Record | None) -> bool:
    return record is not None and record.operation == OPERATION_NAME


def _source(request: InstallRequest) -> str:
    return request.iso or request.kernel or request.tftp_root or "the network"


def _facts(request: InstallRequest, record: Record | None) -> dict[str, Any]:
    return {
        "path": request.path,
        "state": "installed",
        "format": record.format if record else request.format,
        "virtual_size": record.virtual_size if record else request.size,
    }


def _observed(request: InstallRequest) -> dict[str, Any]:
    return _facts(request, read_record(request.path))


def _ownership(request: InstallRequest) -> dict[str, Any]:
    return {name: request.params[name] for name in ("owner", "group", "mode")}


def domain_name(path: str) -> str:
    """The installer's domain, and its network: one object, one name."""
    return f"imageops-install-{hashlib.sha256(os.fsencode(path)).hexdigest()[:12]}"


def job_of_request(request: InstallRequest, machine: dict[str, Any], version: str) -> Job:
    """The job that does it; equal requests give equal jobs."""
    found = fingerprint(request.path)
    params = {
        "name": domain_name(request.path),
        "path": request.path,
        "before": found.as_dict() if found else None,
        "format": request.format,
        "size": request.size,
        "boot": request.boot,
        "kernel": request.kernel,
        "initrd": request.initrd,
        "arguments": request.arguments,
        "iso": request.iso,
        "tftp_root": request.tftp_root,
        "boot_file": request.boot_file,
        "subnet": request.subnet,
        "answers_kind": request.answers.kind if request.answers else "",
        "finish": request.finish.__dict__,
        "machine": machine,
        "media": request.made_from(),
        "declared": request.declared(),
        "ownership": _ownership(request),
        "search_paths": sorted(request.params["search_paths"] or ()),
        "uri": request.uri,
        "tool": f"imageops.fleet {version}",
    }
    return Job(_KIND, request.path, params, _entry, secrets=_secrets(request))


def _secrets(request: InstallRequest) -> dict[str, str]:
    return {_ANSWERS: request.answers.text} if request.answers else {}


def _entry() -> str:
    from . import vm_install_job

    return vm_install_job.__name__


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The disk's name; the job holds the lock of what it writes."""
    return [real_path(params["path"])] if params["path"] else []


def join_running(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that does just this already."""
    check_timeout(params)
    request = read_request(params)
    if is_installed(request, read_record(request.path) if os.path.exists(request.path) else None):
        return False
    from .vm_install_checks import machine_for

    job = job_of_request(request, machine_for(request, tools.hypervisor(request.uri)), tools.version)
    return join_job(job, tools, params=params)


OPERATION = Operation(
    plan=plan_install,
    result="installs",
    locks=locks,
    join=join_running,
    job_id=job_writing(_KIND, "path"),
    parallel=_AT_ONCE,
)
