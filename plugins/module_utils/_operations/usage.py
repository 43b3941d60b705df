# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who uses an image: VMs by whole chains and snapshots, other images in the folders that are known, running engines."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator

from .._errors import InUse
from .._files import real_path, require_folders
from .._qemu.image_locks import holders
from .image_layers import Layers, real_files_of
from .operation import Tools
from .usage_domains import DOMAIN, User, World, keeps_snapshots, pool_folders, world_of

ENGINE, OVERLAY, IMAGE = "engine", "overlay", "image"
# Where VirtualBox puts differencing disks of the images of a folder.
_BELOW = "Snapshots"

__all__ = [
    "DOMAIN",
    "ENGINE",
    "IMAGE",
    "OVERLAY",
    "Layers",
    "User",
    "domains_using",
    "keeps_snapshots",
    "look_anew",
    "refuse",
    "require_unused",
    "users_of",
]


def users_of(path: str, tools: Tools, *, search_paths: Collection[str] = (), gone: Collection[str] = ()) -> list[User]:
    """Everything that uses `path`, VMs first; images in `gone` will have been removed and don't count.

    Raises MissingLibrary where the host has libvirt and this interpreter can't ask it, InvalidOption or NotFound for search paths in
    which nothing can be looked for.
    """
    require_folders(search_paths, option="search_paths")
    world = world_of(tools)
    found = world.domains_using(path, tools)
    if not any(user.running for user in found):
        held = holders(path)
        found += [User(ENGINE, path, f"it is {held.sentence()}", running=True)] if held else []
    real = real_path(path)
    folder = os.path.dirname(real)
    folders = {folder, os.path.join(folder, _BELOW), *map(real_path, search_paths), *pool_folders(tools)}
    return found + [user for user in _images(real, folders, world) if user.name not in gone]


def require_unused(path: str, tools: Tools, *, search_paths: Collection[str] = ()) -> None:
    """Raise InUse when anything uses `path`."""
    refuse(path, users_of(path, tools, search_paths=search_paths))


def refuse(path: str, users: Iterable[User]) -> None:
    """Raise InUse when there are users: one sentence that names them all."""
    told = list(users)
    if told:
        raise InUse(
            f"{path} is in use and was left as it is: {'; '.join(user.sentence for user in told)}.",
            users=[{"kind": user.kind, "name": user.name} for user in told],
        )


def look_anew(tools: Tools) -> None:
    """Let the next question find what became of the VMs since the last one."""
    world_of(tools).look_anew()


def domains_using(path: str, tools: Tools) -> list[User]:
    """The VMs in whose chains or snapshots `path` is."""
    return world_of(tools).domains_using(path, tools)


def _images(real: str, folders: Iterable[str], world: World) -> Iterator[User]:
    """Files in `folders` (not below them) that need `real`, hidden ones included."""
    files = world.layers.glance()
    for folder in sorted(folders):
        for name in real_files_of(folder):
            if name == real:
                continue
            below = files.below(name)
            if below and files.same(real, below):
                yield User(OVERLAY, name, f"the overlay {name} reads it as its backing file")
            elif any(files.same(real, one) for one in files.needs(name).beside):
                yield User(IMAGE, name, f"the image {name} keeps its data in it")
