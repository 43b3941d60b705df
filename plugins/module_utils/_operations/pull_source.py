# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running VM that disks are read of, and what its engine has to do for that."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from .._errors import EngineError
from .._files import state_top
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.qmp_process import SCHEME

RUN = "run"
# For the end of a backup.
END_SECONDS = 60.0


@dataclass(frozen=True)
class Source:
    """The running VM `name` at `uri`: a libvirt connection, or qmp:// with the path of a process' QMP socket."""

    name: str
    uri: str

    @property
    def socket(self) -> str:
        """The QMP socket; an empty string for a VM of libvirt's."""
        return self.uri[len(SCHEME) :] if self.uri.startswith(SCHEME) else ""

    def domain(self, connection: Connection) -> Domain:
        """The VM of libvirt's; raises EngineError when it is gone, or doesn't run."""
        found = connection.domain(self.name)
        if found is None or not found.active:
            raise EngineError(f"source: {self.name} doesn't run any more; run the task again.")
        return found


class Pull(Protocol):
    """One backup, by the engine that runs the VM. `folder` is where its socket and scratch files are."""

    folder: str

    def end_stale(self) -> None:
        """End what a killed run of ours left; raises InUse for a backup of somebody else."""

    def owner(self) -> tuple[int, int]:
        """User and group of QEMU."""

    def size(self, target: str) -> int:
        """Bytes of a disk."""

    def begin(self, *, socket: str, scratch: Mapping[str, str]) -> None:
        """Show the disks in `scratch` on `socket`, all as they are at one moment, each as an export named like its target.

        `scratch` has for each target an empty qcow2 file of the disk's size, which gets what the guest overwrites meanwhile.
        """

    def is_whole(self) -> bool:
        """Whether the backup goes on, so that what was read until now is of the moment when it began."""

    def end(self) -> None:
        """End it and wait until it is gone; raises TimedOut."""


def pull_folder(key: str) -> str:
    """Where socket and scratch files of a backup are, by the VM's UUID or what names it else; a job's `leaves` may have it."""
    return os.path.join(state_top(), RUN, f"pull-{key}")


def process_key(socket: str) -> str:
    """What names a QEMU process, which may have no UUID of its own."""
    return f"qmp-{hashlib.sha256(socket.encode()).hexdigest()[:16]}"
