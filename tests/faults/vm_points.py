# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of deploys and removals at every named moment, alone and with libvirtd: the next run converges, nothing is left."""

from __future__ import annotations

from typing import Any, Callable

from host import Host, expect, kill_libvirtd
from vm import DEPLOY, IMAGES, NAME, REMOVE, VMS, clear, leftovers, prepare, settled, tidy, whole

__all__ = ["CASES", "POINTS", "prepare", "tidy"]

_MAKING = (
    "vm:before-disk",
    "vm:disk-written",
    "vm:disk-made",
    "vm:before-define",
    "vm:defined",
    "vm:before-start",
    "vm:started",
)
_REMOVING = ("vm:before-forget", "vm:forgotten", "vm:disk-removed")
POINTS = (*_MAKING, *_REMOVING)
# libvirt writes another unit: what it made of the part is noted after the definition.
_RICH: dict[str, Any] = {
    **DEPLOY,
    "labels": {"tier": "faults"},
    "xml": "<domain><currentMemory unit='MiB'>24</currentMemory></domain>",
}
_THEIRS = f"virsh list --all --name | grep '^{NAME}-' || true; ls -A {IMAGES} | grep '{NAME}-' || true"


def _interrupt(host: Host, options: dict[str, Any], point: str, *, daemon: bool) -> None:
    """kill -9 of the module, and of libvirtd if that is wanted."""
    said = host.run("vm", fault=f"{point}:kill", **options)
    expect(bool(said.get("lost") or said.get("failed")), f"nothing was interrupted: {said}")
    if daemon:
        kill_libvirtd(host)


def _converged(host: Host, options: dict[str, Any]) -> None:
    """The next run finishes it, and a further one changes nothing."""
    after = host.run("vm", **options)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    again = host.run("vm", **options)
    expect(again.get("changed") is False, f"a further run changed something: {again}")


def deploy_killed_at(point: str, *, daemon: bool = False) -> Callable[[Host], None]:
    def case(host: Host) -> None:
        clear(host)
        _interrupt(host, _RICH, point, daemon=daemon)
        whole(host)
        _converged(host, _RICH)
        settled(host)

    return case


def removal_killed_at(point: str, *, daemon: bool = False) -> Callable[[Host], None]:
    def case(host: Host) -> None:
        clear(host)
        made = host.run("vm", **{**DEPLOY, "state": "present", "wait_for": None})
        expect(not made.get("failed"), f"the VMs could not be made: {made}")
        _interrupt(host, REMOVE, point, daemon=daemon)
        _converged(host, REMOVE)
        expect(host.shell(_THEIRS).strip() == "", f"left of {', '.join(VMS)}: {host.shell(_THEIRS)}")
        expect(leftovers(host) == "", f"left over: {leftovers(host)}")

    return case


def full_at(point: str) -> Callable[[Host], None]:
    """ENOSPC: one clear sentence, nothing hidden is left, and the next run converges."""

    def case(host: Host) -> None:
        clear(host)
        said = host.run("vm", fault=f"{point}:full", **_RICH)
        expect(said.get("failed") is True and "No space left" in said.get("msg", ""), f"no clear sentence: {said}")
        expect(leftovers(host) == "", f"left over: {leftovers(host)}")
        _converged(host, _RICH)

    return case


CASES: dict[str, Callable[[Host], None]] = {
    **{f"kill -9 at {point}": deploy_killed_at(point) for point in _MAKING},
    **{f"kill -9 at {point}": removal_killed_at(point) for point in _REMOVING},
    **{f"kill -9 at {point}, and of libvirtd": deploy_killed_at(point, daemon=True) for point in _MAKING},
    **{f"kill -9 at {point}, and of libvirtd": removal_killed_at(point, daemon=True) for point in _REMOVING},
    **{f"no space at {point}": full_at(point) for point in ("vm:before-disk", "vm:disk-written")},
}
