# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of one image: our own parsers look at it and at every file below it; no engine is started."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from .._errors import Conflict, InvalidOption, UnsafeImage
from .._files import real_path
from .._formats.chain import Link, backing_path, follows, inspect_chain
from .._formats.facts import ImageFacts
from .._formats.names import canonical_format
from .._formats.safety import Verdict, verdict
from .._plan import Plan
from .._records import read_record
from .inspection import recorded_backing
from .operation import Operation, Tools

CONTRADICTIONS = ("format-contradiction", "second-signature")


def plan_disk_info(params: dict[str, Any], tools: Tools) -> Plan:
    """Look at one image; refuse a contradicted format and, when asked, an unsafe image."""
    path = _absolute(params["path"])
    declared = canonical_format(params["format"]) if params.get("format") else None
    chain = inspect_chain(path, declared=declared)
    allowed = {*map(real_path, params.get("backing") or ()), *recorded_backing([link.path for link in chain])}
    judged = verdict(chain, allowed_backing=allowed)
    found = describe(chain, judged)
    _refuse_contradiction(path, declared, found)
    if params.get("require_safe") and not judged.safe:
        reasons = " ".join(f"{one.message} ({one.rule})" for _where, one in judged.refusals)
        raise UnsafeImage(printable(f"{path} is not safe to use: {reasons}"), **_kept(found))
    return Plan(item=path, before={}, after=found, observe=lambda: found)


def _absolute(path: str | None) -> str:
    """The path without dots; links stay, because backing names are relative to the name that is used."""
    if not path or "\0" in path or not os.path.isabs(path):
        raise InvalidOption(f"path: '{path or ''}' is not an absolute path; give one that starts with a slash.")
    return os.path.abspath(path)


def describe(chain: Sequence[Link], judged: Verdict) -> dict[str, Any]:
    """The result of one image, as plain values."""
    top, record = chain[0], read_record(chain[0].path)
    facts = asdict(top.facts)
    facts.update(
        path=top.path,
        file_size=top.file_size,
        allocated_size=top.allocated_size,
        backing=_backing(top.path, top.facts),
        chain=[{"path": link.path, "format": link.facts.format} for link in chain],
        safe=judged.safe,
        findings=[{"path": path, **asdict(found)} for path, found in judged.findings],
        record=record.as_dict() if record else None,
    )
    return dict(printable(facts))


def _backing(path: str, facts: ImageFacts) -> dict[str, str | None] | None:
    if facts.backing is None:
        return None
    name = facts.backing.name
    return {"path": backing_path(path, name) if follows(name) else name, "format": facts.backing.format}


def _refuse_contradiction(path: str, declared: str | None, found: dict[str, Any]) -> None:
    """A raw image may hold anything, so what contradicts raw is another format's signature."""
    rules = CONTRADICTIONS if declared == "raw" else CONTRADICTIONS[:1]
    for one in found["findings"]:
        if one["path"] == found["path"] and one["rule"] in rules:
            raise Conflict(f"format: {path} was declared as {declared}. {one['message']}", **_kept(found))


def _kept(found: dict[str, Any]) -> dict[str, Any]:
    """What a failed result still tells."""
    return {key: found[key] for key in ("path", "format", "virtual_size", "safe", "findings")}


def printable(value: Any) -> Any:
    """The same value with bytes that are no text written as escapes, so that any output can carry it."""
    if isinstance(value, dict):
        return {printable(key): printable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value


OPERATION = Operation(plan=plan_disk_info, result="disks")
