# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that make a clone; each can be killed, and the next run goes on."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from .._errors import Conflict
from .._faults import fault_point
from .._files import write_bytes
from .._hypervisor.connection import Connection
from .._hypervisor.devices import set_medium
from .._hypervisor.xml import Element, get, serialise
from .._plan import Step
from .._records import Record, read_record, write_record
from .operation import Tools
from .vm_clone_disks import Share
from .vm_clone_identity import Identity, describe
from .vm_clone_source import Source
from .vm_files import make
from .vm_seed import Seed

_ATTEMPTS, _PAUSE = 20, 0.1


@dataclass(frozen=True)
class CloneSteps:
    """Makes the steps: the source's layers first, then files, then the definition that names them, then the start."""

    source: Source
    identity: Identity
    seed: Seed | None
    nvram: str
    connection: Connection
    tools: Tools

    def all(self, *, shares: list[Share], disks: Iterable[Step], start: bool) -> Iterator[Step]:
        """Every step, in order; `disks` are those that make the clone's disks."""
        if shares:
            yield Step("; ".join(share.title for share in shares), lambda: self._share(shares))
        yield from disks
        if self.nvram and os.path.exists(self.nvram):
            self._require_own_nvram()
            yield Step(f"copy the UEFI variables {self.nvram} to {self.identity.nvram}", self._copy_nvram)
        if self.seed:
            seed, version = self.seed, self.tools.version
            yield Step(f"make the cloud-init seed {seed.path}", lambda: seed.write(version=version))
        name = self.identity.name
        yield Step(f"define {name} as a {self.identity.mode} clone of {self.source.name}", self._define)
        if start:
            yield Step(f"start {name}", self._start)

    def _share(self, shares: list[Share]) -> None:
        """Overlays first, then one new definition: the source is always on whole disks, the old or the new ones."""
        for share in shares:
            make(share.overlay(), self.tools.commands, version=self.tools.version)
        paths = {share.target: share.path for share in shares}
        root = self.source.domain.xml(secure=True)
        for disk in root.iterfind("devices/disk"):
            if get(disk, "target/@dev") in paths:
                set_medium(disk, paths[get(disk, "target/@dev")], "qcow2")
        self.connection.define(serialise(root))

    def _require_own_nvram(self) -> None:
        path = self.identity.nvram
        record = read_record(path) if os.path.exists(path) else None
        mine = record is not None and record.options.get("vm") == self.identity.name
        if os.path.exists(path) and not mine and _read(path) != _read(self.nvram):
            raise Conflict(
                f"name: {path}, the place of the clone's UEFI variables, is taken by another file; remove it, or give another name."
            )

    def _copy_nvram(self) -> None:
        path = self.identity.nvram
        write_bytes(path, self._settled_nvram(), mode=stat.S_IMODE(os.stat(self.nvram).st_mode))
        size = os.stat(path).st_size
        write_record(path, Record("nvram", "raw", size, options={"vm": self.identity.name}, tool=self.tools.version))

    def _settled_nvram(self) -> bytes:
        """The variables; of a running source when nothing is written to them for a moment."""
        found = _read(self.nvram)
        for _attempt in range(_ATTEMPTS):
            self.tools.clock.sleep(_PAUSE if self.source.domain.active else 0)
            again = _read(self.nvram)
            if again == found:
                break
            found = again
        return found

    @cached_property
    def description(self) -> Element:
        """The clone's description."""
        return describe(self.source.root, self.identity)

    def _define(self) -> None:
        fault_point("clone:before-define")
        self.connection.define(serialise(self.description))
        fault_point("clone:defined")

    def _start(self) -> None:
        domain = self.connection.domain(self.identity.name)
        if domain is None:
            raise Conflict(f"name: {self.identity.name} was removed by somebody else before it could be started.")
        domain.start()


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()
