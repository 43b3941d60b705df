# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What somebody should know who reverts a VM."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from .._hypervisor.connection import Connection
from .._hypervisor.snapshots import Snapshot, revert_is_suspect
from .vm_clone_facts import nvram_of
from .vm_snapshot_journal import Journal
from .vm_snapshot_kind import INTERNAL


class Asked(Protocol):
    """What is asked for."""

    params: dict[str, Any]
    name: str
    connection: Connection
    journal: Journal


def warnings_of(asked: Asked, found: Snapshot, changed: Sequence[str]) -> Iterable[str]:
    """The sentences; `changed` are the parts of the definition that a revert brings back."""
    vm = asked.params["vm"]
    if changed:
        yield (
            f"The definition of {vm} was changed since the snapshot {asked.name} was taken ({', '.join(changed)}); "
            "reverting brings "
            f"back the definition of that time."
        )
    if found.kind == INTERNAL:
        yield from _internal(asked)
    elif _leaves_nvram(asked, found):
        yield (
            f"The snapshot {asked.name} of {vm} holds no UEFI variables (another tool took it, or the VM had none yet); those of "
            f"now stay."
        )


def _internal(asked: Asked) -> Iterable[str]:
    if revert_is_suspect(asked.connection.version):
        number = ".".join(map(str, asked.connection.version))
        yield (
            f"libvirt {number} as published upstream can't revert internal snapshots (fixed in 11.4, and by some "
            "distributions "
            f"earlier, such as Debian); it is tried, and a failure leaves the VM defined."
        )


def _leaves_nvram(asked: Asked, found: Snapshot) -> bool:
    if found.definition is None or "nvram" in asked.journal.beside.get(asked.name, {}):
        return False
    return bool(nvram_of(found.definition, asked.connection.uri))
