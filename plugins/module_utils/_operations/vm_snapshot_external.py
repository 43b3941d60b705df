# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Taking an external snapshot: overlays of ours, one call of libvirt for all disks, and undone or finished when interrupted."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any, Callable

from .._errors import EngineError, ImageOpsError, NotFound, TimedOut
from .._faults import fault_point
from .._files import real_path
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import end_pause, snapshots
from .._hypervisor.snapshots_external import external_call, forget_snapshot, note_snapshot, rest_on
from .._hypervisor.sources import Disk
from .._hypervisor.xml import serialise
from .inspection import Inspected
from .operation import Tools
from .vm_clone_facts import nvram_of
from .vm_files import NewDisk, make
from .vm_snapshot_beside import keep_nvram, nvram_changed
from .vm_snapshot_bounded import bounded
from .vm_snapshot_changeover import require_listed, went_over
from .vm_snapshot_journal import Journal, read_journal
from .vm_snapshot_kind import Choice
from .vm_snapshot_merge import tidy_layers
from .vm_snapshot_tree import virtual_size, writable_disks


def overlay_path(domain: Domain, disk: Disk, snapshot: str, *, folder: str = "") -> str:
    """The free name, beside the layer, of the overlay in which `disk` goes on after (or from) the snapshot."""
    start = os.path.join(folder or os.path.dirname(real_path(disk.path)), f"{domain.name}-{disk.target}.{snapshot}")
    number, path = 1, f"{start}.qcow2"
    while os.path.lexists(path):
        number += 1
        path = f"{start}-{number}.qcow2"
    return path


def make_overlay(domain: Domain, path: str, *, below: str, format: str, tools: Tools) -> None:
    """An empty overlay, ours alone until libvirt gives it to QEMU, whose record says whose it is."""
    size = virtual_size(below, format)
    real = real_path(below)
    # What lies below is as libvirt has it, whoever made it.
    base = Inspected(real, format, size, (real,))
    make(NewDisk(domain.name, path, "qcow2", size, base, True), tools.commands, version=tools.version)


def take_external(
    domain: Domain, connection: Connection, params: dict[str, Any], choice: Choice, tools: Tools
) -> dict[str, float]:
    """Take it; the seconds that libvirt's call took, and those for which the guest's file systems were frozen."""
    taking = _Taking(domain, connection, params, choice, tools)
    taking.prepare()
    return taking.take()


class _Taking:
    def __init__(
        self, domain: Domain, connection: Connection, params: dict[str, Any], choice: Choice, tools: Tools
    ) -> None:
        self._domain, self._connection, self._params, self._choice, self._tools = (
            domain,
            connection,
            params,
            choice,
            tools,
        )
        self._name: str = params["name"]
        self._disks = {disk.target: disk for disk in writable_disks(domain)}
        self._paths = {target: overlay_path(domain, disk, self._name) for target, disk in self._disks.items()}
        first = next(iter(self._paths.values()))
        self._begun = False
        self._told: dict[str, float] = {}
        self._memory = f"{os.path.splitext(first)[0]}.memory" if choice.memory else ""

    def prepare(self) -> None:
        """The mark, then the overlays."""
        journal = read_journal(self._domain)
        require_listed(self._domain, journal)
        formats = {real_path(disk.path): disk.format for disk in self._disks.values()}
        nvram = nvram_of(self._domain.xml(inactive=not self._domain.active), self._connection.uri)
        copy = (
            f"{os.path.splitext(next(iter(self._paths.values())))[0]}.nvram" if nvram and os.path.exists(nvram) else ""
        )
        beside = {key: path for key, path in (("memory", self._memory), ("nvram", copy)) if path}
        journal.note(
            own=journal.own | set(self._paths.values()),
            formats={**journal.formats, **formats},
            beside={**journal.beside, **({self._name: beside} if beside else {})},
            taking={
                "name": self._name,
                "overlays": self._paths,
                "layers": {target: [real_path(disk.path), disk.format] for target, disk in self._disks.items()},
                "description": self._params["description"] or "",
                "state": self._domain.state,
            },
        )
        self._nvram, self._copy = (nvram, copy) if copy else ("", "")
        try:
            self._make_files()
        except (ImageOpsError, OSError):
            recover_taking(self._domain, self._connection, self._tools)
            raise

    def _make_files(self) -> None:
        fault_point("vm_snapshot:before-overlays")
        for target, disk in self._disks.items():
            make_overlay(self._domain, self._paths[target], below=disk.path, format=disk.format, tools=self._tools)
        if self._copy:
            keep_nvram(self._nvram, self._copy)
        fault_point("vm_snapshot:before-take")

    def take(self) -> dict[str, float]:
        """The one moment; what fails is undone."""
        try:
            call = external_call(
                self._domain,
                self._name,
                description=self._params["description"] or "",
                overlays=self._paths,
                memory=self._memory,
            )
            if self._choice.quiesce:
                self._frozen(call)
            else:
                self._create(call)
            if self._copy and nvram_changed(self._nvram, self._copy):
                raise EngineError(
                    f"The guest {self._domain.name} wrote to its UEFI variables while the snapshot {self._name} was taken, so it "
                    f"was undone; run the task again."
                )
        except ImageOpsError as error:
            if not (self._begun and isinstance(error, TimedOut)):
                with contextlib.suppress(ImageOpsError):
                    self._undo()
            # Else libvirt may go on with it: the next run looks what became of it.
            raise
        fault_point("vm_snapshot:taken")
        finish_taking(self._domain)
        return self._told

    def _frozen(self, call: Callable[[], None]) -> None:
        """libvirt's call between freeze and thaw; a freeze that ended too early makes it worthless."""
        from .thaw_guard import frozen

        with frozen(self._domain, limit=self._params["quiesce_timeout"], tools=self._tools) as freeze:
            self._create(call)
        try:
            freeze.require_held()
        except TimedOut as error:
            raise EngineError(str(error)) from None
        self._told["frozen_seconds"] = round(freeze.seconds, 3)

    def _create(self, call: Callable[[], None]) -> None:
        self._begun = True
        what = f"taking the snapshot {self._name} of {self._domain.name}"
        self._told["engine_seconds"] = round(bounded(call, timeout=self._params["timeout"], what=what), 3)

    def _undo(self) -> None:
        with contextlib.suppress(NotFound):
            finish_taking(self._domain)
            forget_snapshot(self._domain, self._name)
        recover_taking(self._domain, self._connection, self._tools)
        tidy_layers(self._domain, self._connection, self._tools, timeout=self._params["timeout"])


def finish_taking(domain: Domain) -> None:
    """The snapshot is there: its layers are managed from now on; raises NotFound when it is not."""
    journal = read_journal(domain)
    name = (journal.taking or {}).get("name")
    found = next((snapshot for snapshot in snapshots(domain) if snapshot.name == name), None)
    if found is None:
        raise NotFound(f"name: {domain.name} has no snapshot '{name}'.")
    journal.note(taking=None, managed=journal.managed | {real_path(path) for path in found.layers.values()})


def recover_taking(domain: Domain, connection: Connection, tools: Tools, *, timeout: float = 0) -> None:
    """Finish what an interrupted taking left, or undo it."""
    journal = read_journal(domain)
    if not journal.taking:
        return
    if journal.taking.get("state") == "running" and "memory" in journal.beside.get(journal.taking["name"], {}):
        # One that libvirt paused to end its memory's image; killed at that moment it doesn't always let it run on.
        end_pause(domain)
    with contextlib.suppress(NotFound):
        finish_taking(domain)
        return
    if went_over(domain, journal.taking):
        _keep_overlays(domain, connection, journal, tools)
        finish_taking(domain)
    else:
        journal.note(taking=None)
    tidy_layers(domain, connection, tools, timeout=timeout)


def _keep_overlays(domain: Domain, connection: Connection, journal: Journal, tools: Tools) -> None:
    """libvirt was killed after QEMU went over to the overlays: the next start has to go on there, and libvirt to know why."""
    mark: Mapping[str, Any] = journal.taking or {}
    overlays: dict[str, str] = mark["overlays"]
    now = {disk.target: (disk.path, disk.format) for disk in domain.disks(inactive=True) if disk.target in overlays}
    layers = {target: found for target, found in now.items() if found[0] != overlays[target]}
    layers |= {target: (path, format) for target, (path, format) in mark.get("layers", {}).items()}
    parent = next((snapshot.name for snapshot in snapshots(domain) if snapshot.current), "")
    root = domain.xml(secure=True)
    rest_on(root, {target: (path, "qcow2") for target, path in overlays.items()})
    # First of all: with a snapshot that is known, a run that is killed here would be believed to be done.
    connection.define(serialise(root))
    note_snapshot(
        domain,
        mark["name"],
        description=mark["description"],
        layers=layers,
        overlays=overlays,
        parent=parent,
        created=int(tools.clock.time()),
        # All of it was written before the disks went over.
        memory=journal.beside.get(mark["name"], {}).get("memory", ""),
        state=mark.get("state", ""),
    )
