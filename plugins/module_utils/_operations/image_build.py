# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Building an image from a recipe."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._errors import ImageOpsError
from .._files import real_path, require_folder
from .._plan import Plan
from .build_base import read_base
from .build_plan import plan_request
from .build_request import KIND, BuildRequest, check_params, read_build
from .long_work import job_writing, join_job
from .operation import Operation, Tools


def plan_build(params: dict[str, Any], tools: Tools) -> Plan:
    """The plan of one image; raises what speaks against it."""
    check_params(params)
    require_folder(real_path(params["path"]), option="path")
    return plan_request(_request(params, tools), tools)


def _request(params: dict[str, Any], tools: Tools) -> BuildRequest:
    check_params(params)
    return read_build(params, read_base(params, tools), again=lambda later: _request(params, later))


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """The image's name; the job holds the lock of what it writes."""
    return [real_path(params["path"])] if params["path"] else []


def join_running(params: dict[str, Any], tools: Tools) -> bool:
    """Wait for a job that does just this already."""
    try:
        request = _request(params, tools)
    except ImageOpsError:
        return False
    if request.base.steps:
        return False
    return join_job(request.job(tools.version), tools, params=params)


OPERATION = Operation(
    plan=plan_build, result="builds", locks=locks, join=join_running, job_id=job_writing(KIND, "path"), parallel=2
)
