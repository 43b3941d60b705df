# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owner, group and mode of files that are there already, and that no VM uses.

libvirt gives a disk's file to QEMU's user at start, and leaves base images so; changing it back would break the VM.
"""

from __future__ import annotations

import os
import stat
from typing import Any

from .._errors import Conflict, MissingLibrary
from .._files import is_read_only
from .._plan import Step
from .operation import Tools
from .ownership import shown, wanted_ids


def plan_ownership(
    path: str, *, owner: str | None, group: str | None, mode: str | int | None, tools: Tools
) -> tuple[tuple[Step, ...], tuple[str, ...], dict[str, Any]]:
    """Steps that give the existing file `path` what was declared, warnings, and the ownership it has after them.

    Of a file in a VM's chain nothing is changed, the difference is a warning.
    """
    found = os.stat(path)
    now = (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))
    wanted = wanted_ids(now, owner=owner, group=group, mode=mode)
    if wanted == now:
        return (), (), shown(*now)
    if is_read_only(path):
        raise Conflict(
            f"{path}: {_difference(now, wanted)}, and its file system is read-only; declare what is there, or remount it."
        )
    why = _reason_to_keep(path, tools)
    if why:
        return (), (f"{path}: {_difference(now, wanted)}, but {why}; it is left as it is.",), shown(*now)

    def change() -> None:
        os.chown(path, wanted[0], wanted[1])
        os.chmod(path, wanted[2])

    return (Step(f"set owner, group and mode of {path}", change),), (), shown(*wanted)


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
