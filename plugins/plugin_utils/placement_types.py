# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the planner of places works with: VMs, hosts, and where a VM goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_words import Impossible


@dataclass(frozen=True)
class Vm:
    """A VM that is wanted: what it takes anywhere, and of which folders (an empty name is the host's own); its disks' images."""

    name: str
    needs: Mapping[str, int] = field(default_factory=dict)
    disks: Mapping[str, int] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    images: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Host:
    """A host: what it has in all and free of each resource, its VMs with their labels, and which folder is which resource.

    `images` are those that it holds.
    """

    name: str
    total: Mapping[str, int]
    free: Mapping[str, int]
    vms: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    folders: Mapping[str, str] = field(default_factory=dict)
    default_folder: str = ""
    images: frozenset[str] = frozenset()

    def needed(self, vm: Vm) -> dict[str, int]:
        """What the VM takes of this host, by resource."""
        found = {name: size for name, size in vm.needs.items() if size > 0}
        for folder, size in vm.disks.items():
            if size > 0:
                name = self._resource(folder or self.default_folder, vm)
                found[name] = found.get(name, 0) + size
        return found

    def _resource(self, folder: str, vm: Vm) -> str:
        above = [known for known in self.folders if f"{folder}/".startswith(f"{known.rstrip('/')}/")]
        if not above:
            raise Impossible(
                f"The free space of {folder} on {self.name}, where {vm.name} has a disk, isn't known; "
                f"name the folder in the option folders of imageops.fleet.host_info."
            )
        return self.folders[max(above, key=len)]


@dataclass(frozen=True)
class Placed:
    """Where a VM goes, and why."""

    vm: str
    host: str
    why: str
