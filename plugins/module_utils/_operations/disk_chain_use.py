# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who must not use what when a chain is changed, and which of its files nobody needs afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from .._errors import InUse
from .._files import fingerprint, partial_path
from .._records import read_record
from .base_files import alone
from .disk_chain_act import COMMIT, HEADER, NOTHING, TIDY, Act, is_still, written_by_us
from .disk_chain_request import ChainRequest
from .operation import Tools


def require_free(request: ChainRequest, act: Act, tools: Tools, *, search_paths: Sequence[str]) -> None:
    """Raise InUse when the act would take something from a VM or another image.

    Where the image's content stays what it is, only what has it open now is in the way.
    """
    if act.kind in (COMMIT, TIDY):
        _require_free_layers(act, tools, search_paths, top=request.path)
    elif act.kind != NOTHING:
        from .usage import DOMAIN, refuse, users_of

        users = users_of(request.path, tools, search_paths=search_paths)
        other = act.kind == HEADER and act.new_base is not None
        refuse(
            request.path,
            [user for user in users if user.running or (other and not (user.kind == DOMAIN and user.top))],
        )


def changed_files(act: Act) -> list[str]:
    """The files whose content a commit changes, or that it removes; none of another act."""
    if act.kind == COMMIT:
        return [layer.real_path for layer in act.layers][: (act.base or 0) + 1]
    return list(act.leftover) if act.kind == TIDY else []


def _require_free_layers(act: Act, tools: Tools, search_paths: Sequence[str], *, top: str) -> None:
    """A commit changes the content of its base and removes what is above: nobody else may rest on any of them."""
    wanted = changed_files(act)
    # What a killed run left beside them is thrown away by this one.
    gone = [*wanted, *map(partial_path, {*wanted, top})]
    from .usage import refuse, users_of

    for path in wanted:
        refuse(path, users_of(path, tools, search_paths=search_paths, gone=gone))


def droppable(path: str) -> list[str]:
    """Files that our record on `path` says it rested on once, and that are what they were then."""
    record = read_record(path) if fingerprint(path) and written_by_us(path) else None
    return [one["path"] for one in record.dropped if is_still(one)] if record else []


def unused_of(paths: Sequence[str], tools: Tools, *, search_paths: Sequence[str]) -> list[str]:
    """Those of `paths` that are there and that nothing uses; each may be used by the ones before it."""
    if not paths:
        return []
    from .usage import users_of

    found: list[str] = []
    for path in paths:
        if fingerprint(path) and not users_of(path, tools, search_paths=search_paths, gone=found):
            found.append(path)
    return found


def removable(paths: Sequence[str], tools: Tools, *, search_paths: Sequence[str]) -> list[str]:
    """Those of the unused files that are ours: they carry a record."""
    return [path for path in unused_of(paths, tools, search_paths=search_paths) if read_record(path) is not None]


def remove_unused(paths: Sequence[str], tools: Tools, *, search_paths: Sequence[str], removed: list[str]) -> None:
    """Remove what is ours and nobody uses now; `removed` gets the paths."""
    from .disk_chain_commit import remove_layers

    for path in removable(paths, tools, search_paths=search_paths):
        # What another task makes disks from at this moment stays, and is told as unused until it is used.
        with contextlib.suppress(InUse), alone(path, tools.clock, seconds=0):
            if removable([path], tools, search_paths=search_paths):
                remove_layers([path])
                removed.append(path)
