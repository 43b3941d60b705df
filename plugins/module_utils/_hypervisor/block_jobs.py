# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block jobs of a running domain: what runs, and the live commit of a layer into the one below it."""

from __future__ import annotations

from typing import Any, Callable

from .._errors import Conflict, EngineError, ImageOpsError, TimedOut, Unsupported
from .._sizes import format_size
from .domain import Domain
from .library import calling, library
from .xml import Element, get

# virDomainBlockJobType of libvirt/libvirt-domain.h.
_COMMIT, _ACTIVE_COMMIT = 3, 4
_KINDS = {1: "pull", 2: "copy", _COMMIT: "commit", _ACTIVE_COMMIT: "active-commit", 5: "backup"}
COMMITS = (_KINDS[_COMMIT], _KINDS[_ACTIVE_COMMIT])
_PAUSE = 0.05
_NOTED_SECONDS = 10.0
# libvirt has half a minute of its own for whoever wants to change a VM that it is busy with.
_BUSY_SECONDS = 30.0
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
            return False
        return True

    if not wait(begun, _BUSY_SECONDS, interval=_PAUSE):
        raise refused[0]


def finish_commit(
    domain: Domain, target: str, *, top: str, timeout: float, wait: Wait, leaving: Callable[[], None]
) -> None:
    """Wait until `top` has left the chain of `target`, and let the guest write to the layer below when it was the active one.

    `leaving` is called before libvirt is asked for that. Raises TimedOut (the job goes on) or EngineError when the job ended
    without having done it, or can't be ended.
    """
    seen: dict[str, Any] = {}
    refused: list[ImageOpsError] = []

    def ended() -> bool:
        job = block_job(domain, target)
        if job is None:
            return True
        seen.update(job)
        if _may_leave(domain, target, job):
            leaving()
            try:
                _leave(domain, target)
            except ImageOpsError as error:
                refused[:] = [error]
        return False

    def gone() -> bool:
        return not domain.active or not _holds(domain, target, top)

    if not wait(lambda: ended() or bool(refused), timeout or float("inf"), interval=_PAUSE):
        done, total = format_size(seen.get("done", 0)), format_size(seen.get("total", 0))
        raise TimedOut(
            f"timeout: merging {top} of {domain.name} did not end within {timeout:g} seconds ({done} of {total} are done); "
            f"libvirt goes on with it, run the task again later."
        )
    if refused and not wait(ended, min(timeout or _BUSY_SECONDS, _BUSY_SECONDS), interval=_PAUSE):
        raise EngineError(
            f"All of {top} of {domain.name} is merged, but libvirt doesn't let the guest go on below it "
            f"({str(refused[0]).rstrip('.')}); start libvirtd again (the VM runs on), then run the task again."
        )
    if not domain.active:
        raise Conflict(f"{domain.name} stopped while {top} was being merged; run the task again, which does it anew.")
    # The job is gone a moment before libvirt has noted what it did.
    if not wait(gone, _NOTED_SECONDS, interval=_PAUSE):
        raise EngineError(
            f"Merging {top} of {domain.name} ended without having done it (see the log of libvirt); the chain is as it was."
        )


def forgotten_end(domain: Domain, target: str) -> bool:
    """Whether libvirt shows the end of a commit of the active layer, and knows no job.

    Killed at that moment, it lists the upper layer ever after, and refuses all other jobs until the VM stops.
    """
    return _mirror(domain, target) is not None and block_job(domain, target) is None


def _holds(domain: Domain, target: str, path: str) -> bool:
    """Whether the running VM's disk has the layer in its chain."""
    return any(path == layer.path for disk in domain.disks() if disk.target == target for layer in disk.chain)


def _active(domain: Domain, target: str) -> str:
    return next((disk.path for disk in domain.disks() if disk.target == target), "")


def _mirror(domain: Domain, target: str) -> Element | None:
    """Where libvirt says that a job of the disk writes to."""
    disks = domain.xml(inactive=False).findall("devices/disk")
    return next((disk.find("mirror") for disk in disks if get(disk, "target/@dev") == target), None)


def _may_leave(domain: Domain, target: str, job: dict[str, Any]) -> bool:
    """Whether a commit of the active layer only waits for the moment at which the guest changes over.

    A libvirt that was killed right after it had begun one shows no mirror ever after, and changes over all the same. (Asked to give
    such a job up it would crash.)
    """
    mirror = _mirror(domain, target)
    if mirror is not None:
        return mirror.get("ready") == "yes"
    return bool(job["type"] == _KINDS[_ACTIVE_COMMIT] and job["total"] and job["done"] == job["total"])


def _leave(domain: Domain, target: str) -> None:
    """Ask libvirt for the change-over, and don't wait for it."""
    found = library()
    flags = found.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT | found.VIR_DOMAIN_BLOCK_JOB_ABORT_ASYNC
    with calling(f"changing the disk {target} of {domain.name} over"):
        domain.raw.blockJobAbort(target, flags)
