# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal snapshots of a QEMU process: all disks and the memory, by its jobs snapshot-save, -load and -delete."""

from __future__ import annotations

import time
from collections.abc import Sequence

from .qmp_disks import QmpDisk
from .qmp_jobs import job_id, run_job
from .qmp_process import QemuProcess


def save(process: QemuProcess, name: str, disks: Sequence[QmpDisk], *, timeout: float) -> float:
    """Take the snapshot; the guest stands still meanwhile, for so many seconds at most. The memory goes into the first disk."""
    began = time.monotonic()
    _run(process, "snapshot-save", name, disks, timeout=timeout)
    return time.monotonic() - began


def load(process: QemuProcess, name: str, disks: Sequence[QmpDisk], *, timeout: float) -> None:
    """Go back to it; the VM then runs or is paused as it was before."""
    _run(process, "snapshot-load", name, disks, timeout=timeout)


def delete(process: QemuProcess, name: str, disks: Sequence[QmpDisk], *, timeout: float) -> None:
    """Remove it from the disks."""
    arguments = {"tag": name, "devices": [disk.node for disk in disks]}
    run_job(process, "snapshot-delete", arguments, identity=job_id("delete", name), timeout=timeout)


def _run(process: QemuProcess, command: str, name: str, disks: Sequence[QmpDisk], *, timeout: float) -> None:
    """With memory: that lies in the disk that has it already, for a snapshot that is there."""
    held = [disk for disk in disks if any(point.name == name and point.memory for point in disk.points)]
    arguments = {
        "tag": name,
        "vmstate": (held or list(disks))[0].node,
        "devices": [disk.node for disk in disks],
    }
    run_job(process, command, arguments, identity=job_id(command.split("-")[1], name), timeout=timeout)
