# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The snapshots of a QEMU process: internal ones by its disks, external ones by the names of our overlays in their chains."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from .._hypervisor.qmp_disks import QmpDisk
from .._hypervisor.qmp_process import QemuProcess

INTERNAL, EXTERNAL = "internal", "external"
_NO_NAME = re.compile(r"[^A-Za-z0-9_.+-]")


@dataclass(frozen=True)
class World:
    """One process as it is: its writable disks."""

    vm: str
    state: str
    disks: tuple[QmpDisk, ...]

    def internal(self) -> dict[str, list[QmpDisk]]:
        """The disks that hold each internal snapshot, by its name."""
        found: dict[str, list[QmpDisk]] = {}
        for disk in self.disks:
            for point in disk.points:
                found.setdefault(point.name, []).append(disk)
        return found

    def external(self) -> dict[str, list[tuple[QmpDisk, str]]]:
        """The disks with the overlay that each external snapshot began, by its name; oldest first."""
        found: dict[str, list[tuple[QmpDisk, str]]] = {}
        for disk in self.disks:
            for layer in reversed(disk.layers[:-1]):
                name = self._snapshot_of(layer.path, disk)
                if name:
                    found.setdefault(name, []).append((disk, layer.path))
        return found

    def overlay(self, disk: QmpDisk, name: str) -> str:
        """The file in which the disk goes on after the snapshot."""
        return os.path.join(os.path.dirname(disk.path), f"{self._start(disk)}{name}.qcow2")

    def _start(self, disk: QmpDisk) -> str:
        return f"{_NO_NAME.sub('_', self.vm)}-{disk.target}."

    def _snapshot_of(self, path: str, disk: QmpDisk) -> str:
        file, start = os.path.basename(path), self._start(disk)
        return file[len(start) : -len(".qcow2")] if file.startswith(start) and file.endswith(".qcow2") else ""

    def facts(self, name: str) -> dict[str, Any]:
        """What a result shows of the snapshot `name`."""
        found = {"vm": self.vm, "name": name, "state": "absent", "vm_state": self.state}
        shown = next((one for one in self.listed() if one["name"] == name), None)
        return {**found, **shown, "state": "present"} if shown else found

    def listed(self) -> list[dict[str, Any]]:
        """All snapshots."""
        inside = [
            {
                "name": name,
                "kind": INTERNAL,
                "memory": any(point.memory for disk in disks for point in disk.points if point.name == name),
                "created": min(point.created for disk in disks for point in disk.points if point.name == name),
            }
            for name, disks in self.internal().items()
        ]
        return [*inside, *({"name": name, "kind": EXTERNAL, "memory": False} for name in self.external())]


def look(process: QemuProcess) -> World:
    """The process as it is now."""
    disks = tuple(disk for disk in process.disks() if not disk.readonly)
    return World(process.name, process.state, disks)
