# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chroot engine on a disk: a raw copy of it, its file systems mounted by the host's kernel in a namespace of the engine's own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from shlex import quote
from typing import Any

from .._commands import Commands
from .._errors import ImageOpsError, Unsupported
from .._files import remove, require_space
from .._jobs.progress import Progress
from .._qemu.image import Image, QemuImg, convert_arguments
from .._qemu.percent import run_with_percent
from .build_chroot import ChrootSession, Mount, chroot_obstacle
from .build_partitions import FileSystem, file_systems, mountable, mounts_of
from .build_request import CHROOT
from .build_session import Done, Work, room_watch
from .build_steps import GROW


def by_chroot(params: Mapping[str, Any], disk: Image, work: Work, progress: Progress, lock: int, why: str) -> Done:
    """Do the work in the guest on `disk`, whose file is a raw one afterwards."""
    obstacle = chroot_obstacle()
    if obstacle:
        raise Unsupported(f"engine: neither libguestfs ({why}) nor chroot ({obstacle}) can be used on this host.")
    if any(GROW in step for step in params["steps"]):
        raise Unsupported(f"engine: partitions grow by libguestfs only ({why}); leave the step 'grow' out.")
    _make_raw(disk, progress, lock)
    found = file_systems(disk.path)
    tree = f"{disk.path[: -len('-work')]}-tree"
    os.mkdir(tree, 0o700)
    progress.phase("look for the guest")
    mounts = _mounts(disk.path, tree, mountable(found), params)
    packages = work_in(tree, work, seconds=float(params["guest_timeout"]), progress=progress, lock=lock, mounts=mounts)
    os.rmdir(tree)
    return Done(CHROOT, packages, {"engine": CHROOT, "engine_reason": why})


def work_in(
    root: str, work: Work, *, seconds: float, progress: Progress, lock: int, mounts: Sequence[Mount] = ()
) -> str:
    """Do the work in the guest's files in the folder `root`; the list of packages."""
    session = ChrootSession(
        root,
        network=work.network,
        carried=[*work.carried, lock],
        seconds=seconds,
        watch=room_watch(os.path.dirname(root)),
        mounts=mounts,
    )
    try:
        session.start()
        packages = work.do(session, progress)
        progress.phase("give back what is not used")
        session.finish()
        return packages
    finally:
        session.close()


def _make_raw(disk: Image, progress: Progress, lock: int) -> None:
    if disk.format == "raw":
        return
    progress.phase("copy")
    partial = f"{disk.path}-raw"
    require_space(disk.path, QemuImg(Commands()).data_size(disk), what="engine: the raw copy that chroot works on")
    try:
        argv = convert_arguments(disk, Image(partial, "raw"))
        run_with_percent(argv, lambda done: None, pass_fds=(lock,))
        os.chmod(partial, 0o600)
        os.replace(partial, disk.path)
    finally:
        remove(partial)


def _mounts(disk: str, tree: str, found: list[FileSystem], params: Mapping[str, Any]) -> list[Mount]:
    """The guest's root, which is the file system with an fstab or a list of users, and what its fstab mounts in it."""
    refused = []
    for one in found:
        try:
            fstab = _fstab(disk, tree, one, params)
        except _NotMounted as error:
            refused.append(f"the {one.kind} at byte {one.start} ({error})")
            continue
        if fstab is None:
            continue
        others = mounts_of(fstab, [each for each in found if each is not one])
        root = Mount(disk, one.start, one.size, "/")
        return [root, *(Mount(disk, each.start, each.size, point) for point, each in others.items())]
    raise Unsupported(
        "base: there is no file system with a guest that this engine knows on the disk (ext2, ext3, ext4, XFS)."
        + (f" These could not be mounted: {', '.join(refused)}." if refused else "")
    )


class _NotMounted(Exception):
    """Why a file system could not be mounted."""


# For writing: that of a guest that ran has a journal to replay.
_LOOK = "mount -o loop,offset={start},sizelimit={size},noexec,nodev,nosuid {disk} {tree} || exit {no_mount}; [ -e {tree}/etc/passwd ] || exit {no_root}; "
_NO_MOUNT, _NO_ROOT = 3, 4
_READ = "[ -L {tree}/etc/fstab ] || cat {tree}/etc/fstab 2>/dev/null || :"


def _fstab(disk: str, tree: str, one: FileSystem, params: Mapping[str, Any]) -> str | None:
    """The fstab of the guest whose root it is; None when it is no root."""
    words = {
        "start": one.start,
        "size": one.size,
        "disk": quote(disk),
        "tree": quote(tree),
        "no_mount": _NO_MOUNT,
        "no_root": _NO_ROOT,
    }
    script = (_LOOK + _READ).format(**words)
    argv = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script]
    try:
        return Commands().output(argv, timeout=float(params["guest_timeout"]))
    except ImageOpsError as error:
        if error.details.get("rc") == _NO_ROOT:
            return None
        if error.details.get("rc") == _NO_MOUNT:
            raise _NotMounted((error.details["stderr"].strip().splitlines() or ["mount said nothing"])[0]) from None
        raise
