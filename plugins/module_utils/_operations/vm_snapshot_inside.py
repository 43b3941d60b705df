# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Acts on internal snapshots, each under a mark in the journal; an interrupted one is finished or undone by the next run.

libvirt changes the disks one by one, and then what it knows of the snapshots. Killed in between it doesn't know a snapshot
that they hold, knows one that they don't, or has brought back only some of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from .._errors import EngineError, ImageOpsError, TimedOut
from .._faults import fault_point
from .._files import fingerprint
from .._formats.qcow2_points import Point, read_points
from .._hypervisor.domain import Domain
from .._hypervisor.snapshot_leftover import note_leftover
from .._hypervisor.snapshots import Snapshot, delete_snapshot, end_pause, snapshots
from .._hypervisor.snapshots_external import forget_snapshot
from .vm_console_past import forget_console
from .vm_snapshot_bounded import bounded
from .vm_snapshot_journal import DELETE, REVERT, TAKE, read_journal
from .vm_snapshot_tree import writable_disks


@contextlib.contextmanager
def marked(domain: Domain, act: str, names: Collection[str], *, timeout: float, **more: Any) -> Iterator[None]:
    """Note what libvirt is asked for while it does it; what fails is put right at once, unless libvirt may go on with it."""
    paths = {path for found in snapshots(domain) if found.name in names for path in found.disks}
    paths |= {disk.path for disk in writable_disks(domain) if disk.format == "qcow2"}
    there = _there(domain, names, paths)
    mark = {"act": act, "names": list(names), "disks": sorted(paths), "there": there, "state": domain.state, **more}
    read_journal(domain).note(inside=mark)
    fault_point("vm_snapshot:inside-begun")
    try:
        yield
    except ImageOpsError as error:
        if not isinstance(error, TimedOut) or "libvirt_code" in error.details:
            with contextlib.suppress(ImageOpsError):
                _put_right(domain, mark, timeout)
        raise
    fault_point("vm_snapshot:inside-ended")
    read_journal(domain).note(inside=None)


def _there(domain: Domain, names: Collection[str], disks: Collection[str]) -> dict[str, dict[str, Any]]:
    """Of each name, when what libvirt knows was made (None: nothing), and when what each disk holds was."""
    made = {found.name: found.created for found in snapshots(domain)}
    dates = {name: {path: point.date for path in sorted(disks) for point in _points(path, name)[:1]} for name in names}
    return {name: {"created": made.get(name), "dates": dates[name]} for name in names}


def _put_right(domain: Domain, mark: Mapping[str, Any], timeout: float) -> None:
    """libvirt refused. A deletion that it didn't begin is not begun here either."""
    if mark["act"] == DELETE and _there(domain, mark["names"], mark["disks"]) == mark["there"]:
        read_journal(domain).note(inside=None)
    else:
        recover_inside(domain, timeout=timeout)


def doomed(domain: Domain) -> list[str]:
    """Snapshots whose deletion began, but for those that somebody made anew under that name."""
    journal = read_journal(domain)
    return [name for name in journal.doomed if not _made_anew(domain, name, journal.inside or {})]


def _made_anew(domain: Domain, name: str, mark: Mapping[str, Any]) -> bool:
    found, created = _known(domain, name), mark["there"][name]["created"]
    return bool(found and created is not None and found.created != created)


def _held(name: str, mark: Mapping[str, Any]) -> list[str]:
    """The disks that hold the snapshot of the mark, or what is left of one that it began."""
    there = mark["there"][name]
    own = there["dates"] if there["dates"] or there["created"] is not None else None
    return [
        path
        for path in mark["disks"]
        for point in _points(path, name)[:1]
        if own is None or own.get(path) == point.date
    ]


def recover_inside(domain: Domain, *, timeout: float) -> dict[str, Any] | None:
    """Finish or undo what the mark names; it stays, and is returned, for a revert that is to be done again."""
    mark = read_journal(domain).inside
    if not mark:
        return None
    if mark["act"] == REVERT:
        return _recover_revert(domain, mark)
    if mark["act"] == TAKE:
        _recover_take(domain, mark, timeout)
    else:
        _recover_delete(domain, mark, timeout)
    return None


def _recover_take(domain: Domain, mark: dict[str, Any], timeout: float) -> None:
    if mark["state"] == "running":
        end_pause(domain)
    if _known(domain, mark["names"][0]):
        read_journal(domain).note(inside=None)
        return
    mark = {**mark, "act": DELETE}
    # Before libvirt knows of it: what is left of a snapshot must never pass for one.
    read_journal(domain).note(inside=mark)
    _recover_delete(domain, mark, timeout)


def _recover_delete(domain: Domain, mark: Mapping[str, Any], timeout: float) -> None:
    for name in mark["names"]:
        if not _made_anew(domain, name, mark):
            _remove(domain, name, _held(name, mark), timeout)
            forget_console(domain, name)
    read_journal(domain).note(inside=None)


def _remove(domain: Domain, name: str, held: Sequence[str], timeout: float) -> None:
    """Bring what libvirt knows and what the disks hold together: there is no such snapshot."""
    if held:
        if not _known(domain, name):
            # All of them, also those that don't hold it: libvirt demands that, and deletes what is there.
            targets = [disk.target for disk in writable_disks(domain)]
            note_leftover(domain, name, targets=targets, created=_points(held[0], name)[0].date)
            fault_point("vm_snapshot:inside-leftover-known")
        call = partial(delete_snapshot, domain, name, children=False)
        bounded(call, timeout=timeout, what=f"removing what is left of the snapshot {name} of {domain.name}")
        _require_gone(name, held)
    elif _known(domain, name):
        forget_snapshot(domain, name)


def _require_gone(name: str, disks: Collection[str]) -> None:
    for path in disks:
        if _points(path, name):
            raise EngineError(
                f"name: {path} still holds what an interrupted run left of the snapshot '{name}', which libvirt could not delete; "
                f"remove it with 'qemu-img snapshot -d {name} {path}' while the VM is stopped."
            )


def _recover_revert(domain: Domain, mark: dict[str, Any]) -> dict[str, Any] | None:
    found = _known(domain, mark["names"][0])
    if found and found.state == "running":
        end_pause(domain)
    if found and not domain.active and half_reverted(found.disks, found.name):
        return mark
    read_journal(domain).note(inside=None)
    return None


def half_reverted(disks: Collection[str], name: str) -> bool:
    """Whether some disks went back to the snapshot and others not, and nothing was written to these since."""
    times: dict[bool, list[int]] = {True: [], False: []}
    for path in disks:
        for point in _points(path, name)[:1]:
            seen = fingerprint(path)
            times[point.current].append(seen.mtime_ns if seen else 0)
    return bool(times[True] and times[False]) and max(times[True]) > max(times[False])


def _known(domain: Domain, name: str) -> Snapshot | None:
    return next((found for found in snapshots(domain) if found.name == name), None)


def _points(path: str, name: str) -> list[Point]:
    return read_points(path).named(name) if fingerprint(path) else []
