# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operations need of a hypervisor, in writing; `Connection` and `Domain` (libvirt) are the engine that has all of it.
`QemuProcess` is a `Switches`: what else it can do, and what not, is in `capabilities`.

Rules for every engine: a call that fails raises one of our errors, with one sentence; nothing waits longer than the engine
itself does (waiting for a guest is the operations' work); the objects may be used by many threads at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .sources import Disk
from .xml import Element


class Switches(Protocol):
    """A VM that is there. `shutdown` only asks the guest. `destroy` is the power switch."""

    name: str
    uuid: str

    @property
    def active(self) -> bool: ...

    @property
    def state(self) -> str: ...

    def shutdown(self) -> None: ...

    def destroy(self) -> None: ...

    def suspend(self) -> None: ...

    def resume(self) -> None: ...


class Machine(Switches, Protocol):
    """A VM that the hypervisor keeps, also while it is stopped.

    `start` leaves it running, or paused. `reboot` only asks the guest.
    `undefine` forgets the VM and everything the engine itself keeps about it (NVRAM, TPM, metadata of snapshots and
    checkpoints), never a disk. `disks` names the active layer and, for a running VM, the whole chain.
    """

    @property
    def autostart(self) -> bool: ...

    def set_autostart(self, value: bool) -> None: ...

    def xml(self, *, inactive: bool = True, secure: bool = False) -> Element: ...

    def disks(self, *, inactive: bool = False) -> list[Disk]: ...

    def start(self, *, paused: bool = False) -> None: ...

    def reboot(self) -> None: ...

    def undefine(self) -> None: ...


class Hypervisor(Protocol):
    """A host's hypervisor: `define` makes or changes a VM from its description, and never starts or restarts it."""

    uri: str

    @property
    def version(self) -> tuple[int, int, int]: ...

    def domain(self, name: str) -> Machine | None: ...

    def domains(self) -> Sequence[Machine]: ...

    def define(self, xml_text: str) -> Machine: ...

    def close(self) -> None: ...
