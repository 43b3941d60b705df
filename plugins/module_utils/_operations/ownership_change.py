# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owner, group and mode of files that are there already, and that no VM uses.

libvirt gives a disk's file to QEMU's user at start, and leaves base images so; changing it back would break the VM.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from .._errors import Conflict, MissingLibrary
from .._files import is_read_only
from .._plan import Step
from .extent_files import recorded_extents
from .operation import Tools
from .ownership import shown, wanted_ids


def plan_ownership(
    path: str, *, owner: str | None, group: str | None, mode: str | int | None, tools: Tools
) -> tuple[tuple[Step, ...], tuple[str, ...], dict[str, Any]]:
    """Steps that give the existing file `path` what was declared, warnings, and the ownership it has after them.

    The extents of an image of several files get it too. Of files in a VM's chain nothing is changed, the difference is a
    warning.
    """
    now = {one: _ids(one) for one in _files_of(path)}
    wanted = {one: wanted_ids(ids, owner=owner, group=group, mode=mode) for one, ids in now.items()}
    differing = [one for one in now if wanted[one] != now[one]]
    if not differing:
        return (), (), shown(*now[path])
    told = f"{differing[0]}: {_difference(now[differing[0]], wanted[differing[0]])}"
    if is_read_only(path):
        raise Conflict(f"{told}, and its file system is read-only; declare what is there, or remount it.")
    reasons = (_reason_to_keep(one, tools) for one in dict.fromkeys([path, *differing]))
    why = next((reason for reason in reasons if reason), "")
    if why:
        return (), (f"{told}, but {why}; it is left as it is.",), shown(*now[path])
    step = Step(f"set owner, group and mode of {' and '.join(differing)}", partial(_change, differing, wanted))
    return (step,), (), shown(*wanted[path])


def _files_of(path: str) -> list[str]:
    """The image's file, and the extents that are its own."""
    extents = recorded_extents(path) if _is_regular(path) else []
    return [path, *(one for one in extents if _is_regular(one))]


def _ids(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def _is_regular(path: str) -> bool:
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except FileNotFoundError:
        return False


def _change(paths: Sequence[str], wanted: Mapping[str, tuple[int, int, int]]) -> None:
    for path in paths:
        # By a descriptor of the very file: a symbolic link put in its place meanwhile leads nowhere.
        handle = os.open(path, os.O_PATH | os.O_NOFOLLOW)
        try:
            uid, gid, mode = wanted[path]
            os.chown(f"/proc/self/fd/{handle}", uid, gid)
            os.chmod(f"/proc/self/fd/{handle}", mode)
        finally:
            os.close(handle)


def _reason_to_keep(path: str, tools: Tools) -> str:
    try:
        from .usage import domains_using

        users = domains_using(path, tools)
    except MissingLibrary as error:
        return f"whether a VM uses it can't be known: {str(error).rstrip('.')}"
    return users[0].sentence if users else ""


def _difference(now: tuple[int, int, int], wanted: tuple[int, int, int]) -> str:
    there, declared = shown(*now), shown(*wanted)
    return ", ".join(
        f"{key} is {there[key]}, declared is {declared[key]}" for key in there if there[key] != declared[key]
    )
