# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of disk images: our own parsers look at each and at every file that it reads; no engine is started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

from .._errors import Conflict, ImageOpsError, UnsafeImage
from .._files import real_path, require_absolute
from .._formats.chain import Link, backing_path, follows, inspect_chain
from .._formats.facts import ImageFacts
from .._formats.known import Known
from .._formats.names import canonical_format
from .._formats.rules import finding
from .._formats.safety import REFUSED, Verdict, verdict
from .._plan import Plan
from .._records import read_record
from .disk_listing import LISTED, UNREAD, absolute, files_of
from .disk_tally import count, summary
from .inspection import recorded_backing
from .operation import Operation, Tools

CONTRADICTIONS = ("format-contradiction", "second-signature")
# Facts that the result shows in another form.
_TOLD_OTHERWISE = ("backing", "cipher", "encryption", "references")
_KNOWN = Known()
# Carries to the plan what was found before the item was known to be one.
_FOUND = "_found"


def images_of(params: dict[str, Any], tools: Tools) -> Iterator[dict[str, Any]]:
    """One item per image; of those that are safe nothing is kept where only the others are wanted."""
    for item in files_of(params, tools):
        if not params.get("only_unsafe"):
            yield item
            continue
        try:
            found = _look(item, tools)
        except ImageOpsError:
            # The plan meets it again, and tells it as this item's error.
            yield {**item, "only_unsafe": False}
            continue
        if found:
            yield {**item, _FOUND: found}


def plan_disk_info(params: dict[str, Any], tools: Tools) -> Plan:
    """Look at one image; refuse a contradicted format and, when asked, an unsafe image."""
    path = absolute(params["path"])
    found = params.get(_FOUND) or _look(params, tools)
    _refuse_contradiction(path, _declared(params), found)
    if params.get("require_safe") and not found["safe"]:
        reasons = [f"{one['message']} ({one['rule']})" for one in found["findings"] if one["severity"] in REFUSED]
        raise UnsafeImage(f"{printable(path)} is not safe to use: {' '.join(reasons)}", **_kept(found))
    return Plan(item=path, before={}, after=found, observe=lambda: found)


def _declared(params: dict[str, Any]) -> str | None:
    return canonical_format(params["format"]) if params.get("format") else None


def _look(params: dict[str, Any], tools: Tools) -> dict[str, Any]:
    """The facts of one image, counted; none of a safe one where only the others are wanted.

    Of what a folder was found to hold also that it can't be read, or is gone by now.
    """
    path = absolute(params["path"])
    try:
        _require_listed(path, params.get(UNREAD))
        chain = inspect_chain(path, declared=_declared(params), known=_KNOWN)
    except ImageOpsError as error:
        if not params.get(LISTED):
            way = "give the path of an image, a block device or a folder that can be read"
            raise type(error)(f"path: {str(error).rstrip('.')}; {way}.", **error.details) from error
        missing = finding("not-a-file", str(error))
        count(tools.tally, "", Verdict(safe=False, findings=((path, missing),)))
        return dict(printable({"path": path, "safe": False, "findings": [{"path": path, **asdict(missing)}]}))
    recorded = recorded_backing([link.path for link in chain])
    judged = verdict(chain, allowed_backing=recorded, allowed_real=_real_paths(tuple(params.get("backing") or ())))
    count(tools.tally, chain[0].facts.format, judged)
    return {} if judged.safe and params.get("only_unsafe") else describe(chain, judged)


def _require_listed(path: str, why: str | None) -> None:
    """Raise UnsafeImage for a folder whose files are not known."""
    if why:
        raise UnsafeImage(
            f"The folder {path} can't be read: {why}; let the task run as a user who may, or name another one."
        )


@lru_cache(maxsize=1)
def _real_paths(paths: tuple[str, ...]) -> frozenset[str]:
    for path in paths:
        require_absolute(path, option="backing")
    return frozenset(map(real_path, paths))


def describe(chain: Sequence[Link], judged: Verdict) -> dict[str, Any]:
    """The result of one image, as plain values."""
    top, record = chain[0], read_record(chain[0].path)
    facts = {key: value for key, value in asdict(top.facts).items() if key not in _TOLD_OTHERWISE}
    facts.update(
        path=top.path,
        file_size=top.file_size,
        allocated_size=top.allocated_size,
        backing=_backing(top.path, top.facts),
        chain=[_link(link) for link in chain],
        encryption=_encryption(top.facts),
        safe=judged.safe,
        findings=[{"path": path, **asdict(found)} for path, found in judged.findings],
        record=record.as_dict() if record else None,
    )
    return dict(printable(facts))


def _link(link: Link) -> dict[str, Any]:
    return {
        "path": link.path,
        "real_path": link.real_path,
        "role": link.role,
        "format": link.facts.format,
        "virtual_size": link.facts.virtual_size,
        "file_size": link.file_size,
        "allocated_size": link.allocated_size,
    }


def _encryption(facts: ImageFacts) -> dict[str, Any] | None:
    method = facts.encryption or facts.cipher.get("type")
    return {"type": method, **facts.cipher} if method else None


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
    """What a failed result still tells. Not the path: Ansible adds owner and mode of a file that a failed result names."""
    return {key: found[key] for key in ("format", "virtual_size", "safe", "findings") if key in found}


def printable(value: Any) -> Any:
    """The same value with bytes that are no text written as escapes, so that any output can carry it."""
    if isinstance(value, dict):
        return {printable(key): printable(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value


OPERATION = Operation(plan=plan_disk_info, result="disks", expand=images_of, summarise=summary)
