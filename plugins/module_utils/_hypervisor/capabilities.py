# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What each engine can do: the one table, and the refusal of what it can't."""

from __future__ import annotations

from dataclasses import dataclass

from .._errors import Unsupported

LIBVIRT, QMP = "libvirt", "qmp"
_USE_LIBVIRT = "leave hypervisor: qmp out for a VM of libvirt's"


@dataclass(frozen=True)
class Capability:
    """Something that can be asked of a VM, the engines that can do it, and what else one may do."""

    what: str
    libvirt: bool = True
    qmp: bool = True
    way_out: str = _USE_LIBVIRT

    def of(self, engine: str) -> bool:
        """Whether the engine can do it."""
        return self.qmp if engine == QMP else self.libvirt


CAPABILITIES: dict[str, Capability] = {
    "info": Capability("tell state, hardware, disks and snapshots"),
    "power": Capability("pause, resume, shut down, switch off"),
    "screenshot": Capability("take a picture of the screen"),
    "internal": Capability("take, delete and revert to internal snapshots with memory"),
    "external": Capability("take external snapshots of all disks at one moment"),
    "merge": Capability("merge the overlays of an external snapshot while the VM runs"),
    "clone": Capability("copy the disks of a running VM as they are at one moment, with no layer left"),
    "define": Capability(
        "define, change or remove a VM",
        qmp=False,
        way_out="change the command line that starts the process, or leave hypervisor: qmp out and let libvirt define the VM",
    ),
    "start": Capability(
        "start a VM that has no process, or restart one",
        qmp=False,
        way_out="start QEMU the way it was started before, such as by its systemd unit",
    ),
    "wait": Capability(
        "wait for what the guest does (wait_for)",
        qmp=False,
        way_out="leave wait_for out, and wait with ansible.builtin.wait_for or ansible.builtin.wait_for_connection",
    ),
    "list": Capability(
        "list all VMs of a host, or match names", qmp=False, way_out="give socket, one item for each QEMU process"
    ),
    "screens": Capability("take a picture of another screen than the first", qmp=False, way_out="leave screen out"),
    "disk_only": Capability(
        "take an internal snapshot without memory", qmp=False, way_out="use kind: external, or leave memory out"
    ),
    "external_memory": Capability(
        "take an external snapshot with memory", qmp=False, way_out="use kind: internal, or leave memory out"
    ),
    "external_revert": Capability(
        "revert to an external snapshot",
        qmp=False,
        way_out="end the process, start it on the layer that the snapshot keeps, and take internal snapshots from then on",
    ),
    "link": Capability(
        "make linked clones, or share disks with a clone",
        qmp=False,
        way_out="use mode: full, and copy or skip for a disk",
    ),
    "clone_as_vm": Capability(
        "make a VM of a clone's disks (state, mac, wait_for, tpm, serials, identity: seed)",
        qmp=False,
        way_out="leave it out, and give the disks that are made to whatever starts QEMU",
    ),
    "clone_of_snapshot": Capability(
        "clone a snapshot",
        qmp=False,
        way_out="convert the layer that an external snapshot keeps with imageops.fleet.disk_convert, or clone what the VM is now",
    ),
    "quiesce": Capability("freeze the guest's file systems (quiesce)", qmp=False, way_out="leave quiesce out"),
    "describe": Capability("keep a description with a snapshot", qmp=False, way_out="leave description out"),
    "tree": Capability(
        "keep the tree of snapshots (remove_children, adopt, start)", qmp=False, way_out="leave these options out"
    ),
    "retain": Capability(
        "let snapshots go by age or number (keep, older_than)", qmp=False, way_out="name the snapshots that shall go"
    ),
}


def require(engine: str, capability: str, *, option: str) -> None:
    """Raise Unsupported, with the way out, for what the engine can't do."""
    found = CAPABILITIES[capability]
    if not found.of(engine):
        raise Unsupported(f"{option}: the engine {engine} can't {found.what}; {found.way_out}.", capability=capability)
