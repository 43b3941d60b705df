# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a check says in the end, and when that fails the task."""

from __future__ import annotations

from typing import Any

from .._errors import Conflict, EngineError
from .._plan import KNOWN_AFTER
from .._qemu.image_check import Report
from .disk_check_request import CheckRequest


def told(request: CheckRequest, report: Report) -> dict[str, Any]:
    """The image and its state as results show them."""
    facts = {key: value for key, value in report.as_dict().items() if not key.endswith("_fixed")}
    return {
        "path": request.image.path,
        "format": request.image.format,
        "virtual_size": request.image.virtual_size,
        "healthy": not (report.damaged or request.damage or report.leaks),
        "findings": [
            {"rule": found.rule, "severity": found.severity, "message": found.message} for found in request.findings
        ],
        **facts,
    }


def judged(request: CheckRequest, report: Report, found: dict[str, Any]) -> dict[str, Any]:
    """The result with what was found in the content; raises EngineError or Conflict when the task asked to fail for it."""
    result = told(request, report)
    _require_sound(request, report, result)
    if request.other:
        result["compare"] = _compared(request, found["first_difference"])
        if request.params["require_equal"] and result["compare"]["equal"] is False:
            raise Conflict(_difference(request, result["compare"]), **_details(result))
    if request.params["checksum"]:
        result["checksum"] = found["checksum"]
        result["checksum_algorithm"] = request.params["checksum"]
        _require_expected(request, result)
    return result


def _require_sound(request: CheckRequest, report: Report, result: dict[str, Any]) -> None:
    limit = request.params["fail_on"]
    broken = report.damaged or bool(request.damage)
    if limit == "never" or not (broken or (report.leaks and limit == "leaks")):
        return
    words = [found.message.rstrip(".") for found in request.damage[:2]] or list(report.messages[:2])
    how = "all" if broken else "leaks"
    raise EngineError(
        f"{request.image.path} is not sound: {report.corruptions} corruptions, {report.errors} errors, {report.leaks} leaked "
        f"clusters ({'; '.join(words) or 'no details'}); repair it with 'repair: {how}', or restore it.",
        **result,
    )


def _compared(request: CheckRequest, difference: Any) -> dict[str, Any]:
    """`strict` makes a difference of the sizes one of the content, at the place where the shorter disk ends."""
    other = request.other
    sizes = [request.image.virtual_size, other.virtual_size if other else 0]
    if difference is None and request.params["strict"] and sizes[0] != sizes[1]:
        difference = min(sizes)
    return {
        "path": other.path if other else "",
        "format": other.format if other else "",
        "virtual_size": sizes[1],
        "equal": KNOWN_AFTER if difference == KNOWN_AFTER else difference is None,
        "first_difference": difference,
    }


def _difference(request: CheckRequest, compared: dict[str, Any]) -> str:
    return (
        f"{request.image.path} ({request.image.virtual_size} bytes) and {compared['path']} ({compared['virtual_size']} bytes) "
        f"differ from byte {compared['first_difference']} on."
    )


def _require_expected(request: CheckRequest, result: dict[str, Any]) -> None:
    expected = request.params["expect"]
    if expected and result["checksum"] not in (KNOWN_AFTER, expected.lower()):
        raise Conflict(
            f"expect: the {result['checksum_algorithm']} checksum of {request.image.path} is {result['checksum']}, not "
            f"{expected.lower()}.",
            **_details(result),
        )


def _details(result: dict[str, Any]) -> dict[str, Any]:
    """What goes with an error; Ansible takes a `path` there for a file whose owner and mode it shall tell."""
    return {key: value for key, value in result.items() if key != "path"}
