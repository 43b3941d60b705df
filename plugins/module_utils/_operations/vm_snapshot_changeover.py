# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which layer a guest writes to when libvirt doesn't know: it was killed while QEMU changed from one layer to another.

libvirt learns of a change-over after QEMU, and notes it later still. Killed in between it goes on to list the old layer until the
VM stops, and would start the VM with that. QEMU's locks tell the truth: it keeps a layer open for writing only while the guest
writes there, or while it hasn't let go of it since.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from .._errors import Conflict
from .._files import fingerprint, real_path
from .._hypervisor.block_jobs import forgotten_end
from .._hypervisor.domain import Domain
from .._qemu.image_locks import holders
from .vm_snapshot_journal import Journal


def note_leaving(domain: Domain, journal: Journal) -> None:
    """Before libvirt is asked to let the guest leave a layer: which QEMU process will do it."""
    mark = journal.merging or {}
    if mark.get("leaving") != domain.id:
        journal.note(merging={**mark, "leaving": domain.id})


def has_left(domain: Domain, target: str, mark: Mapping[str, Any]) -> bool:
    """Whether the guest writes to the lower layer of a merge although libvirt lists the upper one as the disk's active one.

    Raises Conflict when that can't be told.
    """
    top, base = mark["top"], mark["base"]
    if not domain.active:
        # libvirt 9.0 can't read its own note of a VM at the end of a commit, and takes the VM for stopped, which runs on.
        held = holders(base) if "leaving" in mark else None
        return bool(held and held.writing)
    active = next((disk.path for disk in domain.disks() if disk.target == target), "")
    asked = mark.get("leaving") == domain.id
    if not active or real_path(active) != top or not (asked or forgotten_end(domain, target)):
        return False
    below = holders(base)
    if below and not below.writing:
        return False
    if below and (asked or not holders(top)):
        return True
    raise Conflict(
        f"libvirtd was killed while {domain.name} changed over from {top} to {base}, and it can't be told whether it did; ask "
        f'QEMU which of both is its disk {target} (virsh qemu-monitor-command {domain.name} \'{{"execute": "query-block"}}\'). If '
        f"it's the second one, write that into the VM's description (virsh edit); else shut the VM down and start it again. "
        f"Then run the task again."
    )


def require_told(domain: Domain, mark: Mapping[str, Any]) -> None:
    """Raise Conflict when a VM that stopped may have left the upper layer of a merge without libvirt's knowledge."""
    top, base = mark["top"], mark["base"]
    if "leaving" not in mark or holders(top) or holders(base):
        return
    raise Conflict(
        f"libvirtd was killed while {domain.name} changed over from {top} to {base}, and the VM stopped before this module could ask "
        f"whether it did. If it wrote to {base} last (at {_written(base)}, to the other one at {_written(top)}), let its disk be "
        f"that file (virsh edit); else start the VM. Then run the task again."
    )


def _written(path: str) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(os.stat(path).st_mtime))


def went_over(domain: Domain, mark: Mapping[str, Any]) -> bool:
    """Whether the VM goes on in the overlays of a snapshot that was being taken, also when libvirt does not know of it."""
    known = {
        real_path(disk.path) for inactive in (True, False) for disk in domain.disks(inactive=inactive) if disk.path
    }
    for target, overlay in mark["overlays"].items():
        if overlay in known:
            return True
        if holders(overlay):
            # QEMU opens the overlays first, and leaves what it wrote to until then at once.
            before = mark.get("layers", {}).get(target)
            layer = holders(before[0]) if before else None
            return not (layer and layer.writing)
    return False


def require_listed(domain: Domain, journal: Journal, *, target: str = "") -> None:
    """Raise Conflict while libvirt lists another layer of the running VM than QEMU writes to, or a job that isn't there.

    Of the disk `target` alone, or of all.
    """
    if not domain.active:
        return
    ours = journal.own | journal.managed
    then = {disk.target: real_path(disk.path) for disk in domain.disks(inactive=True) if disk.path}
    for disk in [disk for disk in domain.disks() if target in ("", disk.target)]:
        now, next_time = real_path(disk.path) if disk.path else "", then.get(disk.target, "")
        wrong = bool(now and next_time and now != next_time and (ours >= {now, next_time} or not fingerprint(now)))
        if wrong or (disk.chain and not disk.readonly and forgotten_end(domain, disk.target)):
            raise Conflict(
                f"vm: libvirtd was killed while the disk {disk.target} of {domain.name} changed over to another layer, and can't change "
                f"its layers until the VM stops; shut the VM down (don't save or migrate it) and start it again, then run the task "
                f"again."
            )
