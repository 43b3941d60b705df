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
from .._files import fingerprint, real_path
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
    made, left = {found.name: found.created for found in snapshots(domain)}, _left(domain, disks)
    dates = {
        name: {path: point.date for path in sorted(disks) for point in _points(path, name, left)[:1]} for name in names
    }
    return {name: {"created": made.get(name), "dates": dates[name]} for name in names}


def _put_right(domain: Domain, mark: dict[str, Any], timeout: float) -> None:
    """libvirt refused. A deletion that it didn't begin is not begun here either."""
    if mark["act"] == DELETE and _there(domain, mark["names"], mark["disks"]) == mark["there"]:
        read_journal(domain).note(inside=None)
    elif mark["act"] == REVERT:
        _go_on_as_before(domain, mark)
        _leave_revert(domain, mark)
    else:
        recover_inside(domain, timeout=timeout)


def _go_on_as_before(domain: Domain, mark: Mapping[str, Any]) -> None:
    """libvirt pauses a VM for what it then refuses; one that was paused before, by whomever, stays so.

    So does one that it paused for the memory of a revert: its disks may have gone back without it.
    """
    if mark["state"] == "running":
        end_pause(domain)


def doomed(domain: Domain) -> list[str]:
    """Snapshots whose deletion began, but for those that somebody made anew under that name."""
    journal = read_journal(domain)
    return [name for name in journal.doomed if not _made_anew(domain, name, journal.inside or {})]


def _made_anew(domain: Domain, name: str, mark: Mapping[str, Any]) -> bool:
    found, created = _known(domain, name), mark["there"][name]["created"]
    return bool(found and created is not None and found.created != created)


def _held(name: str, mark: Mapping[str, Any], left: Collection[str]) -> list[str]:
    """The disks that hold the snapshot of the mark, or what is left of one that it began."""
    there = mark["there"][name]
    own = there["dates"] if there["dates"] or there["created"] is not None else None
    return [
        path
        for path in mark["disks"]
        for point in _points(path, name, left)[:1]
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
    _go_on_as_before(domain, mark)
    if _known(domain, mark["names"][0]):
        read_journal(domain).note(inside=None)
        return
    mark = {**mark, "act": DELETE}
    # Before libvirt knows of it: what is left of a snapshot must never pass for one.
    read_journal(domain).note(inside=mark)
    _recover_delete(domain, mark, timeout)


def _recover_delete(domain: Domain, mark: Mapping[str, Any], timeout: float) -> None:
    left = _left(domain, mark["disks"])
    for name in mark["names"]:
        if not _made_anew(domain, name, mark):
            held = [path for path in _held(name, mark, left) if path not in left]
            _remove(domain, name, held, timeout, anew=bool(left))
            forget_console(domain, name)
    read_journal(domain).note(inside=None)


def _left(domain: Domain, disks: Collection[str]) -> list[str]:
    """Those that aren't the VM's any more."""
    here = {real_path(disk.path) for disk in writable_disks(domain)}
    return [path for path in disks if real_path(path) not in here]


def left_behind(domain: Domain) -> tuple[str, ...]:
    """Warnings of what the recovery will leave in disks that left the VM: they may be another one's by now."""
    mark = read_journal(domain).inside
    if not mark or mark["act"] == REVERT:
        return ()
    left = _left(domain, mark["disks"])
    return tuple(
        f"{path} holds the snapshot '{name}', whose deletion was interrupted before that disk left {domain.name}; nothing is changed "
        f"in it, remove it with 'qemu-img snapshot -d {name} {path}' while nothing uses the disk."
        for name in mark["names"]
        if not _made_anew(domain, name, mark) and (mark["act"] == DELETE or not _known(domain, name))
        for path in _held(name, mark, left)
        if path in left
    )


def _remove(domain: Domain, name: str, held: Sequence[str], timeout: float, *, anew: bool) -> None:
    """Bring what libvirt knows and what the disks hold together: there is no such snapshot.

    What libvirt knows names the disks of that time. With `anew` it gets to know those of now.
    """
    if held:
        if anew and _known(domain, name):
            forget_snapshot(domain, name)
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
    """Nobody knows how far libvirt came: a VM that had been paused before runs on only when it is asked for again."""
    found = _known(domain, mark["names"][0])
    if found and found.state == "running" and mark["state"] != "paused":
        end_pause(domain)
    return _leave_revert(domain, mark)


def _leave_revert(domain: Domain, mark: dict[str, Any]) -> dict[str, Any] | None:
    """Forget the mark, but for one of disks of which some went back: that is returned."""
    found = _known(domain, mark["names"][0])
    if found and not domain.active and half_reverted(found.disks, found.name, _left(domain, found.disks)):
        return mark
    read_journal(domain).note(inside=None)
    return None


def half_reverted(disks: Collection[str], name: str, left: Collection[str] = ()) -> bool:
    """Whether some disks went back to the snapshot and others not, and nothing was written to these since."""
    times: dict[bool, list[int]] = {True: [], False: []}
    for path in disks:
        for point in _points(path, name, left)[:1]:
            seen = fingerprint(path)
            times[point.current].append(seen.mtime_ns if seen else 0)
    return bool(times[True] and times[False]) and max(times[True]) > max(times[False])


def _known(domain: Domain, name: str) -> Snapshot | None:
    return next((found for found in snapshots(domain) if found.name == name), None)


def _points(path: str, name: str, left: Collection[str] = ()) -> list[Point]:
    """The snapshots of that name; none in what isn't there, and in what came to a path that a disk `left` and is no such image."""
    try:
        return read_points(path).named(name) if fingerprint(path) else []
    except ImageOpsError:
        if path in left:
            return []
        raise
