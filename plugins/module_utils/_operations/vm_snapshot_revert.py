# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reverting to an external snapshot on our own path, the same with every libvirt: new overlays on the snapshot's layers.

The layers that other snapshots need stay, and what the VM wrote since goes. Until the VM is stopped an interrupted revert is
undone by the next run, from then on it is finished.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .._errors import EngineError, ImageOpsError, NotFound, TimedOut
from .._faults import fault_point
from .._files import fingerprint, real_path
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.snapshots import Snapshot, snapshots
from .._hypervisor.snapshots_external import describe_anew, described, rest_on, restore_memory
from .._hypervisor.sources import disks_of
from .._hypervisor.xml import Element, serialise
from .operation import Tools
from .vm_clone_facts import nvram_of
from .vm_snapshot_beside import bring_back_nvram
from .vm_snapshot_bounded import bounded
from .vm_snapshot_external import make_overlay, overlay_path
from .vm_snapshot_journal import read_journal
from .vm_snapshot_merge import require_layers, tidy_layers


def revert_external(domain: Domain, connection: Connection, params: dict[str, Any], tools: Tools) -> None:
    """Bring the VM back; what fails after the VM was stopped leaves it stopped, with the disks it had before."""
    found = _snapshot(domain, params["name"])
    _Revert(domain, connection, found, tools, start=bool(params["start"]), timeout=params["timeout"]).run()


def recover_revert(domain: Domain, connection: Connection, tools: Tools, *, timeout: float) -> None:
    """Finish what an interrupted revert left, or undo it."""
    journal = read_journal(domain)
    mark = journal.reverting
    if not mark:
        return
    known = {snapshot.name: snapshot for snapshot in snapshots(domain)}
    if mark["stopping"] and not domain.active and mark["name"] in known and not _used_since(domain, mark):
        _Revert(domain, connection, known[mark["name"]], tools, start=mark["start"], timeout=timeout).run()
        return
    if _runs_on(domain, mark["overlays"]) and mark["name"] in known:
        describe_anew(domain, described(domain, mark["name"]), current=True)
    journal.note(reverting=None)
    tidy_layers(domain, connection, tools, timeout=timeout)


def require_files(found: Snapshot, beside: Mapping[str, str]) -> None:
    """Raise Conflict when something that the snapshot consists of is gone."""
    memory = {"memory": found.memory_file} if found.memory else {}
    require_layers({**found.layers, **memory, **beside}, snapshot=found.name)


def _snapshot(domain: Domain, name: str) -> Snapshot:
    for found in snapshots(domain):
        if found.name == name:
            return found
    raise NotFound(f"name: {domain.name} has no snapshot '{name}' any more.")


def _runs_on(domain: Domain, overlays: Mapping[str, str]) -> bool:
    return any(real_path(disk.path) in overlays.values() for disk in domain.disks(inactive=True) if disk.path)


def _used_since(domain: Domain, mark: Mapping[str, Any]) -> bool:
    """Whether the VM went on after it was brought back: what it wrote then is nothing that a revert may throw away."""
    return _runs_on(domain, mark["overlays"]) and _written_at(mark["overlays"]) != mark.get("written_at")


def _written_at(overlays: Mapping[str, str]) -> dict[str, int]:
    """When each was written to last, in nanoseconds; 0 of one that isn't there."""
    seen = {target: fingerprint(path) for target, path in overlays.items()}
    return {target: found.mtime_ns if found else 0 for target, found in seen.items()}


class _Revert:
    def __init__(
        self, domain: Domain, connection: Connection, found: Snapshot, tools: Tools, *, start: bool, timeout: float
    ) -> None:
        self._domain, self._connection, self._found, self._tools = domain, connection, found, tools
        self._start, self._timeout = start, timeout
        self._kept = serialise(domain.xml(secure=True))
        self._root = described(domain, found.name)
        disks = {disk.target: disk for disk in disks_of(self._then)}
        self._layers = {target: disks[target] for target in found.layers}
        self._overlays = {target: overlay_path(domain, disk, found.name) for target, disk in self._layers.items()}
        self._beside: dict[str, str] = {}

    @property
    def _then(self) -> Element:
        """The description that ran at that time, or would have."""
        found = self._root.find("domain")
        if found is None:
            raise EngineError(f"name: libvirt keeps no description of {self._domain.name} with '{self._found.name}'.")
        return found

    def run(self) -> None:
        """Each step can be done again."""
        self._prepare()
        try:
            self._go_back()
        except ImageOpsError as error:
            raise self._failed(error) from None
        fault_point("vm_snapshot:revert-started")
        describe_anew(self._domain, self._root, current=True)
        fault_point("vm_snapshot:revert-before-tidy")
        read_journal(self._domain).note(reverting=None)
        tidy_layers(self._domain, self._connection, self._tools, timeout=self._timeout)

    def _prepare(self) -> None:
        journal = read_journal(self._domain)
        self._beside = journal.beside.get(self._found.name, {})
        require_files(self._found, self._beside)
        name, start = self._found.name, self._start
        mark = {"name": name, "overlays": self._overlays, "start": start, "stopping": False}
        layers = {real_path(disk.path): disk.format for disk in self._layers.values()}
        journal.note(
            reverting=mark,
            own=journal.own | set(self._overlays.values()) | self._made_by_libvirt(),
            managed=journal.managed | set(layers),
            formats={**journal.formats, **layers},
        )
        fault_point("vm_snapshot:revert-before-overlays")
        for target, disk in self._layers.items():
            path = self._overlays[target]
            make_overlay(self._domain, path, below=disk.path, format=disk.format, tools=self._tools)
        fault_point("vm_snapshot:revert-before-stop")
        journal.note(reverting={**mark, "stopping": True, "written_at": _written_at(self._overlays)})

    def _made_by_libvirt(self) -> set[str]:
        """Overlays of snapshots that another tool took: what they hold goes, or is merged, as with ours."""
        return made_for_snapshots(self._domain)

    def _go_back(self) -> None:
        if self._domain.active:
            self._domain.destroy()
        fault_point("vm_snapshot:revert-stopped")
        inactive = self._root.find("inactiveDomain")
        definition = self._then if inactive is None else inactive
        nvram = nvram_of(definition, self._connection.uri)
        if nvram and "nvram" in self._beside:
            bring_back_nvram(self._beside["nvram"], nvram)
        fault_point("vm_snapshot:revert-before-define")
        self._connection.define(serialise(self._over(definition)))
        fault_point("vm_snapshot:revert-defined")
        if self._found.memory:
            self._restore()
        elif self._start:
            self._domain.start()

    def _over(self, definition: Element) -> Element:
        """The description with the overlays in the place of the layers."""
        from copy import deepcopy

        root = deepcopy(definition)
        root.tag = "domain"
        rest_on(root, {target: (path, "qcow2") for target, path in self._overlays.items()})
        return root

    def _restore(self) -> None:
        path, root = self._found.memory_file, self._over(self._then)
        paused = self._found.state == "paused"
        bounded(
            lambda: restore_memory(self._connection, path, root, paused=paused),
            timeout=self._timeout,
            what=f"reverting {self._domain.name} to {self._found.name}",
        )

    def _failed(self, error: ImageOpsError) -> ImageOpsError:
        """Put the definition back: the disks it names hold what the VM wrote until it was stopped."""
        if self._domain.active or isinstance(error, TimedOut):
            # libvirt may go on with it: the next run looks what became of it.
            return error
        self._connection.define(self._kept)
        read_journal(self._domain).note(reverting=None)
        tidy_layers(self._domain, self._connection, self._tools, timeout=self._timeout)
        return EngineError(
            f"{str(error).rstrip('.')}. The VM is {self._domain.state} now; its definition, its disks and its snapshots are as "
            f"before.",
            **error.details,
        )


def made_for_snapshots(domain: Domain) -> set[str]:
    """The overlays that libvirt's snapshots of the VM name and that are there: files made for snapshots, by whatever tool."""
    named = {path for found in snapshots(domain) for path in found.overlays.values() if path}
    return {real_path(path) for path in named if os.path.exists(path)}
