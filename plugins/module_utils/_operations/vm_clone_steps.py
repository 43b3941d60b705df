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

from .._catalog.digest import digest_of
from .._errors import Conflict
from .._faults import fault_point
from .._files import remove
from .._hypervisor.connection import Connection
from .._hypervisor.devices import set_medium
from .._hypervisor.xml import Element, get, serialise
from .._plan import Step
from .operation import Tools
from .vm_clone_disks import Share
from .vm_clone_identity import Identity, describe
from .vm_clone_source import Source
from .vm_files import make
from .vm_seed import Seed
from .vm_variables import read_variables_file, require_own, settled, write_variables


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
            content = digest_of(read_variables_file(self.nvram))
            require_own(self.identity.nvram, vm=self.identity.name, content=content)
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
        self._require_stopped(shares)
        self.connection.define(serialise(root))

    def _require_stopped(self, shares: list[Share]) -> None:
        """Raise Conflict when the source runs by now, on the disk that would be the base; the overlays go."""
        if not self.source.domain.active:
            return
        for share in shares:
            remove(share.path)
        raise Conflict(
            f"source: {self.source.name} was started meanwhile and writes to {shares[0].base.path}, so nothing can rest on it; "
            "give mode: full, or stop it first."
        )

    def _copy_nvram(self) -> None:
        content = settled(self.nvram, changing=self.source.domain.active, clock=self.tools.clock)
        mode = stat.S_IMODE(os.stat(self.nvram).st_mode)
        write_variables(self.identity.nvram, content, vm=self.identity.name, version=self.tools.version, mode=mode)

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
