# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that a VM writes to is nobody else's: not another VM's, not one that overlays rest on."""

from __future__ import annotations

import os
from collections.abc import Sequence

from .._errors import InUse
from .._files import real_path
from .operation import Tools
from .vm_request_devices import DiskRequest


def require_own(path: str, *, vm: str, tools: Tools, search_paths: Sequence[str], option: str) -> None:
    """Raise InUse when anybody but `vm` uses the file: a base that is written to breaks all that rests on it."""
    from .usage import DOMAIN, users_of

    users = users_of(path, tools, search_paths=search_paths)
    others = [user.sentence for user in users if not (user.kind == DOMAIN and user.name == vm)]
    if others:
        raise InUse(
            f"{option}: {path} can't be a disk that {vm} writes to: {'; '.join(others)}; give {vm} a disk of its own (image makes "
            f"one), or readonly: true."
        )


def claim(disk: DiskRequest, vm: str, tools: Tools, *, reads: bool, option: str) -> None:
    """Raise InUse when another VM of the same task has the file too, rests on it, or is copied from it; all may read it."""
    if disk.image and not disk.catalog:
        if disk.copy == "linked":
            claim_base(disk.image, vm, tools, option=option)
        elif not os.path.exists(disk.path):
            _take(disk.image, vm, f"{option}.image", tools, shared=True, copied=True)
    if disk.device == "disk":
        _take(disk.path, vm, f"{option}.path", tools, shared=reads)


def claim_base(path: str, vm: str, tools: Tools, *, option: str) -> None:
    """Raise InUse when another VM of the same task writes to what a disk of this one rests on."""
    _take(path, f"{vm} as its image", f"{option}.image", tools, shared=True)


def claim_given(files: Sequence[str], vm: str, tools: Tools, *, writes: bool, option: str) -> None:
    """Raise InUse when another VM of the same task writes to a file of the chain, the top one first, or shares one that is written to."""
    top, *below = files
    _take(top, vm, option, tools, shared=not writes)
    for path in below:
        _take(path, f"{vm} as a backing file", option, tools, shared=True)


def _take(path: str, who: str, option: str, tools: Tools, *, shared: bool, copied: bool = False) -> None:
    known = tools.forecast.setdefault(f"disk:{real_path(path)}", {"who": who, "shared": shared, "copied": copied})
    if known["who"] != who and not (shared and known["shared"]):
        told = f"{option}: {path} is declared for {known['who']} and for {who}"
        if copied or known["copied"]:
            raise InUse(f"{told}, one of which copies it; make two tasks of it, one after the other.")
        raise InUse(f"{told}; give each VM a disk of its own.")
    known["shared"] = known["shared"] and shared
