# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of the engine that opens a guest's disk for a build, and the steps in it."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import EngineError, TimedOut, Unsupported
from .._hypervisor.acceleration import kvm_obstacle
from .._jobs.progress import Progress
from .._qemu.guestfs import Guestfs
from .._qemu.guestfs_session import GuestfsSession
from .._qemu.image import Image
from .build_mounted import by_chroot
from .build_request import CHROOT, GUESTFS
from .build_scripts import GuestScript
from .build_session import Done, Work, opened, room_watch
from .build_steps import GROW


def guestfs_obstacle() -> str:
    """Why libguestfs can't be used on this host, as far as that is seen without starting it; empty when it may."""
    if shutil.which("guestfish") is None:
        return "guestfish is not installed (Debian: guestfish, and a kernel such as linux-image-cloud-amd64)"
    return ""


def customise(
    params: Mapping[str, Any], disk: Image, scripts: Sequence[GuestScript], progress: Progress, lock: int
) -> Done:
    """Do the scripts in the guest on `disk`, in place; by libguestfs, or where that can't be used by the guest's programs on the host.

    The second makes the disk a raw one.
    """
    wanted = params["engine"]
    with opened(Work(scripts), os.path.dirname(disk.path)) as work:
        why = "" if wanted != CHROOT else "engine: chroot was asked for"
        if not why:
            why = guestfs_obstacle()
            if not why:
                try:
                    return _by_guestfs(params, disk, work, progress, lock)
                except _NoStart as error:
                    why = str(error).rstrip(".")
        if wanted == GUESTFS:
            raise Unsupported(f"engine: libguestfs can't be used on this host: {why}.")
        return by_chroot(params, disk, work, progress, lock, why)


class _NoStart(Exception):
    """libguestfs' machine didn't start."""


def _by_guestfs(params: Mapping[str, Any], disk: Image, work: Work, progress: Progress, lock: int) -> Done:
    emulated = bool(kvm_obstacle(arch=platform.machine()))
    guestfs = Guestfs(emulated, params["guest_timeout"], (lock,))
    watch = room_watch(os.path.dirname(disk.path))
    session = GuestfsSession(guestfs, disk, network=work.network, carried=work.carried, watch=watch)
    try:
        progress.phase("start libguestfs")
        try:
            session.start()
        except (EngineError, TimedOut) as error:
            raise _NoStart(str(error)) from error
        facts = {"engine": GUESTFS}
        if any(GROW in step for step in params["steps"]):
            progress.phase("grow")
            facts["growth"] = session.grow_last(size=params["size"])
        progress.phase("look for the guest")
        session.mount()
        packages = work.do(session, progress)
        progress.phase("give back what is not used")
        session.finish()
        return Done(GUESTFS, packages, facts)
    finally:
        session.close()
