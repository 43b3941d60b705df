# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All files of this host that hold images: noted ones, and those of which only their record tells.

A file loses its note when it is renamed, and another user's notes are not ours; its record stays on its inode.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from .._errors import Conflict
from .._files import real_path
from .._hypervisor.connection import Pool
from .held_images import HeldImage, held_by_record, noted_images
from .image_layers import real_files_of
from .operation import Tools
from .usage_domains import storage_pools, world_of

# Storage pools that are file systems of their own.
_MOUNTED = ("fs", "netfs")
_NOTHING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG})


def held_anywhere(tools: Tools) -> list[HeldImage]:
    """By path; who asks may remove what nobody holds, so it raises Conflict for a note, record, folder or pool that can't be looked at."""
    noted = noted_images()
    found = [held for held in noted if not _is_gone(held.path)]
    seen = {_inode(held.path) for held in found if _may_be(held)}
    for path in sorted(_files((held.path for held in noted), tools)):
        inode = _inode(path)
        held = _by_record(path) if inode and inode not in seen else None
        if held is not None:
            seen.add(inode)
            found.append(held)
    return sorted(found, key=lambda held: held.path)


def _may_be(noted: HeldImage) -> bool:
    """Whether the file is the noted one, as far as its record can be read; another one may have been renamed to its name."""
    try:
        told = held_by_record(noted.path)
    except Conflict:
        return True
    return told is not None and told.digest == noted.digest


def _is_gone(path: str) -> bool:
    """Whether it isn't there any more; a file system with its folder may just not be mounted."""
    try:
        os.stat(path)
    except OSError as error:
        return error.errno in _NOTHING and os.path.isdir(os.path.dirname(path))
    return False


def _by_record(path: str) -> HeldImage | None:
    held = held_by_record(path)
    # What root may not read, such as a VM's disk on NFS, it hasn't pulled either.
    hidden = held is None and os.geteuid() != 0 and os.path.isfile(path)
    if hidden and not os.access(path, os.R_OK, effective_ids=True):
        raise _unknown(path, os.strerror(errno.EACCES))
    return held


def _files(noted: Iterable[str], tools: Tools) -> set[str]:
    """The files of storage pools and beside noted ones, those that VMs name, and what all of them rest on."""
    world = world_of(tools)
    folders = {os.path.dirname(real_path(path)) for path in noted} | set(map(_folder, storage_pools(tools)))
    named = world.named_files(tools) | {name for folder in sorted(folders) for name in _files_in(folder)}
    files = world.layers.glance()
    return {layer for name in named for layer in files.chain(name)}


def _folder(pool: Pool) -> str:
    """The folder of a pool; raises Conflict where a file system isn't mounted."""
    if pool.kind in _MOUNTED and not pool.active and not os.path.ismount(pool.path):
        raise Conflict(
            f"The storage pool {pool.name} isn't started, so it isn't known which images this host holds in {pool.path}; start it (virsh "
            f"pool-start {pool.name}), or undefine it when nobody needs it any more."
        )
    return real_path(pool.path)


def _files_in(folder: str) -> list[str]:
    try:
        os.scandir(folder).close()
    except OSError as error:
        if error.errno in _NOTHING:
            return []
        raise _unknown(folder, error.strerror) from None
    return real_files_of(folder)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError as error:
        if error.errno in _NOTHING or (error.errno == errno.EACCES and os.geteuid() == 0):
            return None
        raise _unknown(path, error.strerror) from None
    return found.st_dev, found.st_ino


def _unknown(path: str, why: str | None) -> Conflict:
    return Conflict(
        f"{path} can't be looked at ({why}), so it isn't known which images this host holds there; let the task run as a user who may "
        f"(become: true)."
    )
