# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The choice of the engine that opens a guest's disk for a build, and the steps in it."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

from .._errors import EngineError, TimedOut, UnsafeImage, Unsupported
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

_EMPTY_SIZE = 1 << 20


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
                    if wanted != GUESTFS:
                        _require_no_start_without(params, disk, work, why, lock)
        if wanted == GUESTFS:
            raise Unsupported(f"engine: libguestfs can't be used on this host: {why}.")
        return by_chroot(params, disk, work, progress, lock, why)


class _NoStart(Exception):
    """libguestfs' machine didn't start."""


def _require_no_start_without(params: Mapping[str, Any], disk: Image, work: Work, why: str, lock: int) -> None:
    """Raise UnsafeImage when libguestfs starts without the disk: one that its small machine can't bear is nothing for the host's kernel."""
    with tempfile.NamedTemporaryFile() as empty:
        empty.truncate(_EMPTY_SIZE)
        session = _session(params, Image(empty.name, "raw"), os.path.dirname(disk.path), work, lock)
        try:
            session.start()
        except (EngineError, TimedOut):
            return
        finally:
            session.close()
    raise UnsafeImage(
        f"base: libguestfs starts on this host, but not with this disk ({why}), so the host's kernel doesn't open it either; if you trust "
        f"it, give 'engine: chroot'."
    )


def _session(params: Mapping[str, Any], disk: Image, folder: str, work: Work, lock: int) -> GuestfsSession:
    guestfs = Guestfs(bool(kvm_obstacle(arch=platform.machine())), params["guest_timeout"], (lock,))
    return GuestfsSession(guestfs, disk, network=work.network, carried=work.carried, watch=room_watch(folder))


def _by_guestfs(params: Mapping[str, Any], disk: Image, work: Work, progress: Progress, lock: int) -> Done:
    session = _session(params, disk, os.path.dirname(disk.path), work, lock)
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
