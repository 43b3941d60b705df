# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM or another machine's disk becomes an image; the work is a job."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._files import real_path, require_folder
from .._plan import Plan
from .build_plan import plan_request
from .build_request import BuildRequest, check_params, read_build
from .capture_source import read_source
from .long_work import job_writing, joining
from .operation import Operation, Tools

KIND = "capture"


def plan_capture(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one capture; raises what speaks against it."""
    check_params(params)
    require_folder(real_path(params["path"]), option="path")
    return plan_request(_request(params, tools), tools)


def _request(params: dict[str, Any], tools: Tools) -> BuildRequest:
    return read_build(params, read_source(params, tools), kind=KIND, entry=_entry)


def _entry() -> str:
    from . import vm_capture_job

    return vm_capture_job.__name__


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The image's name, and the VM; the job holds the lock of what it writes."""
    vm = [f"domain:{params['vm']}"] if params["vm"] else []
    return [*([real_path(params["path"])] if params["path"] else []), *vm]


OPERATION = Operation(
    plan=plan_capture,
    result="captures",
    locks=locks,
    join=joining(_request),
    job_id=job_writing(KIND, "path"),
    parallel=2,
)
