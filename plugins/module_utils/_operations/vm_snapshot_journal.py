# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we know of a VM's external snapshots beside libvirt, and the mark of what is under way.

A file per VM under the state directory, written whole each time. A mark is set before the first lasting effect of an act and
goes with its last; the next run on that VM finishes or undoes what a mark names.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import Conflict
from .._files import remove, state_dir, write_bytes
from .._hypervisor.domain import Domain

TAKE, REVERT, DELETE = "take", "revert", "delete"
_SCHEMA = 1
_MOST = 8 << 20


@dataclass
class Journal:
    """`own`: overlays made or adopted for snapshots; `managed`: layers that were a snapshot's; `formats` by path.

    `beside` has, by snapshot, files that belong to it (memory, NVRAM). The marks are `taking`, `reverting`, `merging`, `forgetting`
    of external ones, `inside` of internal ones.
    """

    uuid: str
    own: set[str] = field(default_factory=set)
    managed: set[str] = field(default_factory=set)
    formats: dict[str, str] = field(default_factory=dict)
    beside: dict[str, dict[str, str]] = field(default_factory=dict)
    taking: dict[str, Any] | None = None
    reverting: dict[str, Any] | None = None
    merging: dict[str, Any] | None = None
    forgetting: dict[str, Any] | None = None
    inside: dict[str, Any] | None = None

    @property
    def open(self) -> list[str]:
        """What an interrupted run left, as steps tell it."""
        found = [self._inside()] if self.inside else []
        if self.taking:
            found.append(f"finish or undo the interrupted taking of the snapshot {self.taking['name']}")
        if self.reverting:
            found.append(f"finish or undo the interrupted revert to the snapshot {self.reverting['name']}")
        if self.forgetting:
            found.append(f"finish deleting {', '.join(self.forgetting['names'])}")
        if self.merging:
            found.append(f"finish merging {self.merging['top']} into {self.merging['base']}")
        return found

    def _inside(self) -> str:
        names = ", ".join((self.inside or {})["names"])
        return {
            TAKE: f"finish or undo the interrupted taking of the snapshot {names}",
            REVERT: f"finish or undo the interrupted revert to the snapshot {names}",
            DELETE: f"finish deleting {names}",
        }[(self.inside or {})["act"]]

    @property
    def leftovers(self) -> list[str]:
        """Internal snapshots that the next run removes from the disks unless libvirt knows them."""
        return [] if not self.inside or self.inside["act"] == REVERT else list(self.inside["names"])

    @property
    def doomed(self) -> list[str]:
        """Internal snapshots whose deletion began: also what libvirt still knows of them goes with the next run."""
        return list(self.inside["names"]) if self.inside and self.inside["act"] == DELETE else []

    def note(self, **changes: Any) -> None:
        """Change something, durably."""
        for name, value in changes.items():
            setattr(self, name, value)
        self.save()

    def save(self) -> None:
        """Write it, or remove it when it says nothing."""
        path = journal_path(self.uuid)
        if not (self.own or self.managed or self.beside or self.open):
            remove(path)
            return
        facts = {**asdict(self), "own": sorted(self.own), "managed": sorted(self.managed), "schema": _SCHEMA}
        write_bytes(path, json.dumps(facts, sort_keys=True).encode())


def journal_path(uuid: str) -> str:
    return os.path.join(state_dir("snapshots"), f"{uuid}-layers.json")


def read_journal(domain: Domain) -> Journal:
    """The journal of the VM; raises Conflict for one that can't be read."""
    path = journal_path(domain.uuid)
    try:
        with open(path, "rb") as stream:
            found = json.loads(stream.read(_MOST))
    except FileNotFoundError:
        return Journal(domain.uuid)
    except ValueError:
        found = {}
    if found.pop("schema", None) != _SCHEMA:
        raise Conflict(
            f"vm: {path}, which tells the layers of the snapshots of {domain.name}, is damaged or of a newer version of this "
            f"collection; use that version, or move the file away when you know that no snapshot was interrupted."
        )
    return Journal(**{**found, "own": set(found["own"]), "managed": set(found["managed"])})


def snapshot_files(domain: Domain) -> list[str]:
    """The files made for snapshots of the VM that are there: overlays, memory, UEFI variables."""
    journal = read_journal(domain)
    named = [*sorted(journal.own), *(path for files in journal.beside.values() for path in files.values())]
    return [path for path in named if os.path.exists(path)]


def forget_journal(domain: Domain) -> None:
    """Know nothing of the VM any more."""
    remove(journal_path(domain.uuid))
