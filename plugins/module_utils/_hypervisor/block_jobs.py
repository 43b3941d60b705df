# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block jobs of a running domain: what runs, and the live commit of a layer into the one below it."""

from __future__ import annotations

import contextlib
from typing import Any, Callable

from .._errors import Conflict, EngineError, ImageOpsError, TimedOut, Unsupported
from .._sizes import format_size
from .domain import Domain
from .library import calling, library
from .xml import get

# virDomainBlockJobType of libvirt/libvirt-domain.h.
_KINDS = {1: "pull", 2: "copy", 3: "commit", 4: "active-commit", 5: "backup"}
_PAUSE = 0.05
_NOTED_SECONDS = 10.0
_BUSY = "already in active block job"

Wait = Callable[..., bool]


def block_job(domain: Domain, target: str) -> dict[str, Any] | None:
    """The job on the disk `target`: its type, bytes done and to do; None when there is none."""
    with calling(f"looking for jobs on the disk {target} of {domain.name}"):
        found = domain.raw.blockJobInfo(target, 0)
    if not found or not found.get("type"):
        return None
    kind = _KINDS.get(int(found["type"]), "other")
    return {"target": target, "type": kind, "done": int(found["cur"]), "total": int(found["end"])}


def block_jobs(domain: Domain) -> list[dict[str, Any]]:
    """All jobs on the disks of a domain; a stopped one has none."""
    if not domain.active:
        return []
    found = (block_job(domain, disk.target) for disk in domain.disks() if disk.chain)
    return [job for job in found if job]


def start_commit(domain: Domain, target: str, *, top: str, base: str, wait: Wait) -> None:
    """Begin to bring what `top` holds into `base`, right below it; the guest writes on meanwhile."""
    flags = library().VIR_DOMAIN_BLOCK_COMMIT_ACTIVE if _active(domain, target) == top else 0
    refused: list[ImageOpsError] = []

    def begun() -> bool:
        if not _holds(domain, target, top):
            return True
        try:
            with calling(f"committing {top} of {domain.name} into {base}"):
                domain.raw.blockCommit(target, base, top, 0, flags)
        except (Unsupported, EngineError) as error:
            # The job before it is over for QEMU, but libvirt (just started again, maybe) is still busy with its end.
            if _BUSY not in str(error):
                raise
            refused[:] = [error]
            if _ready(domain, target):
                with contextlib.suppress(ImageOpsError):
                    _pivot(domain, target)
            return False
        return True

    if wait(begun, _NOTED_SECONDS, interval=_PAUSE):
        return
    # Killed between noting a job and giving it to QEMU, libvirt can wait for one that nobody works at.
    if block_job(domain, target) is None:
        with contextlib.suppress(ImageOpsError):
            _give_up(domain, target)
    if not wait(begun, _NOTED_SECONDS, interval=_PAUSE):
        raise refused[0]


def finish_commit(domain: Domain, target: str, *, top: str, timeout: float, wait: Wait) -> None:
    """Wait until `top` has left the chain of `target`, and let the guest write to the layer below when it was the active one.

    Raises TimedOut (the job goes on) or EngineError when the job ended without having done it.
    """
    seen: dict[str, Any] = {}

    def ended() -> bool:
        job = block_job(domain, target)
        if job is None:
            return True
        seen.update(job)
        if _ready(domain, target):
            _pivot(domain, target)
        return False

    def gone() -> bool:
        return not domain.active or not _holds(domain, target, top)

    if not wait(ended, timeout or float("inf"), interval=_PAUSE):
        done, total = format_size(seen.get("done", 0)), format_size(seen.get("total", 0))
        raise TimedOut(
            f"timeout: merging {top} of {domain.name} did not end within {timeout:g} seconds ({done} of {total} are done); "
            f"libvirt goes on with it, run the task again later."
        )
    if not domain.active:
        raise Conflict(f"{domain.name} stopped while {top} was being merged; run the task again, which does it anew.")
    # The job is gone a moment before libvirt has noted what it did.
    if not wait(gone, _NOTED_SECONDS, interval=_PAUSE):
        raise EngineError(
            f"Merging {top} of {domain.name} ended without having done it (see the log of libvirt); the chain is as it was."
        )


def _holds(domain: Domain, target: str, path: str) -> bool:
    """Whether the running VM's disk has the layer in its chain."""
    return any(path == layer.path for disk in domain.disks() if disk.target == target for layer in disk.chain)


def _active(domain: Domain, target: str) -> str:
    return next((disk.path for disk in domain.disks() if disk.target == target), "")


def _ready(domain: Domain, target: str) -> bool:
    """Whether a commit of the active layer only waits for the moment at which the guest changes over."""
    root = domain.xml(inactive=False)
    disks = (disk for disk in root.findall("devices/disk") if get(disk, "target/@dev") == target)
    return any(get(disk, "mirror/@ready") == "yes" for disk in disks)


def _pivot(domain: Domain, target: str) -> None:
    with calling(f"changing the disk {target} of {domain.name} over"):
        domain.raw.blockJobAbort(target, library().VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)


def _give_up(domain: Domain, target: str) -> None:
    """End a commit before its time: the guest goes on writing to the upper layer, which still counts."""
    with calling(f"ending the job on the disk {target} of {domain.name}"):
        domain.raw.blockJobAbort(target, library().VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC)
