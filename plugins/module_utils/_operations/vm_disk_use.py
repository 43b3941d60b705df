# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk that a VM writes to is nobody else's: not another VM's, not one that overlays rest on."""

from __future__ import annotations

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


def claim(disk: DiskRequest, vm: str, tools: Tools, *, option: str) -> None:
    """Raise InUse when another VM of the same task has the file too, or rests on it; media may be shared."""
    if disk.image and disk.copy == "linked" and not disk.catalog:
        claim_base(disk.image, vm, tools, option=option)
    if disk.device == "disk" and not disk.readonly:
        _take(disk.path, vm, f"{option}.path", tools, shared=False)


def claim_base(path: str, vm: str, tools: Tools, *, option: str) -> None:
    """Raise InUse when another VM of the same task writes to what a disk of this one rests on."""
    _take(path, f"{vm} as its image", f"{option}.image", tools, shared=True)


def _take(path: str, who: str, option: str, tools: Tools, *, shared: bool) -> None:
    known = tools.forecast.setdefault(f"disk:{real_path(path)}", {"who": who, "shared": shared})
    if known["who"] != who and not (shared and known["shared"]):
        raise InUse(f"{option}: {path} is declared for {known['who']} and for {who}; give each VM a disk of its own.")
