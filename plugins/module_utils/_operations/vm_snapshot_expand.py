# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Items of an item: one per VM that `vms` names, and one per snapshot that retention lets go."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import Any

from .._errors import InvalidOption, NotFound
from .._hypervisor.snapshots import Snapshot, snapshots
from .operation import Tools
from .qmp_request import asks_for_process, refuse_options
from .vm_snapshot_inside import doomed
from .vm_snapshot_world import find_domain

_AGE = re.compile(r"^(\d{1,6})\s*([smhdw])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def every_snapshot(params: dict[str, Any], tools: Tools) -> Iterable[dict[str, Any]]:
    """The items; raises InvalidOption for options that contradict each other."""
    if asks_for_process(params):
        refuse_options(params, "list", ("vms",))
        yield params
        return
    if params["vm"] and params["vms"] is not None:
        raise InvalidOption("vms: give one of vm and vms.")
    retains = params["keep"] is not None or params["older_than"] is not None
    if retains and params["state"] != "absent":
        raise InvalidOption("keep, older_than: they say which snapshots go, so they need state: absent.")
    for vm in _vms(params, tools):
        item = {**params, "vm": vm}
        yield from _let_go(item, tools) if retains else [item]


def _vms(params: dict[str, Any], tools: Tools) -> Sequence[str | None]:
    """The VMs; a pattern such as web* names all of the host that match, and may name none."""
    if params["vms"] is None:
        return [params["vm"]]
    found = [domain.name for domain in tools.hypervisor(params["uri"]).domains()]
    names: dict[str, None] = {}
    for wanted in params["vms"]:
        matching = fnmatch.filter(found, wanted)
        if not matching and not _is_pattern(wanted):
            raise NotFound(
                f"vms: there is no VM called {wanted} on {params['uri']}; define it first, or correct the name."
            )
        names.update(dict.fromkeys(matching))
    return list(names)


def _is_pattern(name: str) -> bool:
    return any(letter in name for letter in "*?[")


def _let_go(params: dict[str, Any], tools: Tools) -> list[dict[str, Any]]:
    domain = find_domain(params["vm"], uri=params["uri"], option="vm", tools=tools)
    going = doomed(domain)
    gone = expired(
        [
            found
            for found in snapshots(domain)
            if fnmatch.fnmatchcase(found.name, params["name"]) and found.name not in going
        ],
        keep=params["keep"],
        older_than=params["older_than"],
        now=tools.clock.time(),
    )
    return [{**params, "name": name} for name in gone]


def expired(found: Sequence[Snapshot], *, keep: int | None, older_than: str | None, now: float) -> list[str]:
    """Names of those that go, oldest first: more than `keep` newer ones are there, and they are older than that."""
    if keep is not None and keep < 0:
        raise InvalidOption(f"keep: {keep} is less than nothing; give how many of the newest stay.")
    oldest_first = sorted(found, key=lambda snapshot: (snapshot.created, snapshot.name))
    gone = oldest_first[: max(0, len(oldest_first) - (keep or 0))]
    if older_than is not None:
        limit = now - age(older_than)
        gone = [snapshot for snapshot in gone if snapshot.created < limit]
    return [snapshot.name for snapshot in gone]


def age(text: str) -> int:
    """Seconds of an age such as 90m, 12h, 7d or 4w."""
    found = _AGE.match(text)
    if not found:
        raise InvalidOption(f"older_than: '{text}' is no age; give a number with s, m, h, d or w, such as 7d.")
    return int(found[1]) * _SECONDS[found[2]]
