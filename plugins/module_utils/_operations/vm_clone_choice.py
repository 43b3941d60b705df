# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of each disk of the source: copied, linked, shared or left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import InvalidOption, Unsupported
from .._hypervisor.xml import Element, get

COPY, LINK, SHARE, SKIP = "copy", "link", "share", "skip"
OF_MODE = {"full": COPY, "linked": LINK}


@dataclass(frozen=True)
class Choice:
    """What the task says of disks by their targets, and what becomes of the other writable ones."""

    default: str
    by_target: Mapping[str, str] = field(default_factory=dict)

    def of(self, disk: Element) -> str:
        """What becomes of a <disk>; raises Unsupported where that would harm either VM."""
        target, readonly = get(disk, "target/@dev"), disk.find("readonly") is not None
        wanted = self.by_target.get(target, SHARE if readonly else self.default)
        if readonly and wanted not in (SHARE, SKIP):
            raise Unsupported(
                f"disks: {target} is read-only, so it is shared as it is; give mode: share or mode: skip."
            )
        shareable = disk.find("shareable") is not None
        if wanted == SHARE and not (readonly or shareable):
            raise Unsupported(
                f"disks: {target} can't be shared, since two VMs that write to one file destroy it, unless its description says that "
                "they may (<shareable/>); give mode: copy, link or skip."
            )
        return wanted

    def require_known(self, targets: Iterable[str], *, vm: str) -> None:
        """Raise InvalidOption for a disk that the source doesn't have."""
        known = list(targets)
        for target in self.by_target:
            if target not in known:
                raise InvalidOption(
                    f"disks: {vm} has no disk with a medium at {target}; it has: {', '.join(known) or 'none'}."
                )


def read_choice(params: dict[str, Any]) -> Choice:
    """The choice that the options state; raises InvalidOption."""
    found: dict[str, str] = {}
    for disk in params["disks"] or ():
        if disk["target"] in found:
            raise InvalidOption(f"disks: {disk['target']} is in the list twice.")
        found[disk["target"]] = disk["mode"]
    return Choice(OF_MODE[params["mode"]], found)
