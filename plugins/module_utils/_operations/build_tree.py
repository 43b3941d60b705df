# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A base that is a tree of files: brought beside the new image, worked on there, and made a disk that boots."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from .._commands import failure
from .._errors import Conflict, MissingLibrary
from .._faults import fault_point
from .._files import partial_path
from .._jobs.progress import Progress
from .._qemu.bounded import run_bounded
from .build_boot import BOOT_CODE, CORE, EFI, Identities, booting, disk_size, write_disk
from .build_chroot import NAMESPACES
from .build_kinds import DIRECTORY, MMDEBSTRAP, TARBALL, file_mark, tree_mark
from .build_mounted import work_in
from .build_request import CHROOT
from .build_scripts import GuestScript
from .build_session import Done, Work, opened

_PACKAGES = {"mmdebstrap": "mmdebstrap", "tar": "tar"}


def build_from_tree(
    params: Mapping[str, Any], disk: str, scripts: Sequence[GuestScript], progress: Progress, lock: int
) -> Done:
    """Write the new raw file `disk` from the tree that `params` name, after the scripts were done in a copy of it."""
    top = partial_path(params["path"], suffix="-tree")
    os.mkdir(top, 0o700)
    # Programs of the tree that run as root, and its devices, are out of the reach of the host's users.
    tree = os.path.join(top, "root")
    os.mkdir(tree)
    progress.phase("bring the files")
    _bring(params["base"], tree, lock)
    os.chmod(tree, 0o755)
    fault_point("build:tree-brought")
    identities = Identities(params["recipe"])
    needs, loader = booting(identities)
    work = Work([needs, *scripts, loader], wanted=(BOOT_CODE, CORE, EFI))
    with opened(work, os.path.dirname(disk)):
        packages = work_in(tree, work, seconds=float(params["guest_timeout"]), progress=progress, lock=lock)
        fault_point("build:tree-customised")
        progress.phase("make the disk")
        size = disk_size(tree, params["size"])
        write_disk(disk, tree, size=size, identities=identities, loader=work.gotten(), lock=lock)
    shutil.rmtree(top)
    return Done(CHROOT, packages, {"engine": CHROOT, "virtual_size": size})


def _bring(base: Mapping[str, Any], tree: str, lock: int) -> None:
    kind = base["kind"]
    if kind == DIRECTORY:
        if tree_mark(base["path"]) != base["mark"]:
            raise Conflict(f"base: {base['path']} was changed meanwhile; run the task again.")
        _run(["cp", "-a", "--one-file-system", "--reflink=auto", f"{base['path']}/.", tree], lock)
    elif kind == TARBALL:
        if file_mark(base["path"]) != base["mark"]:
            raise Conflict(f"base: {base['path']} was written to meanwhile; run the task again.")
        how = ["--numeric-owner", "--same-permissions", "--same-owner", "--xattrs", "--xattrs-include=*"]
        _run(["tar", "-x", *how, "-f", base["path"], "-C", tree], lock)
    elif kind == MMDEBSTRAP:
        os.rmdir(tree)
        # It mounts folders of the host's in the tree, of which nothing may be there when somebody removes what it left.
        _run(mmdebstrap_command(base, tree), lock, within=NAMESPACES)


def mmdebstrap_command(base: Mapping[str, Any], tree: str) -> list[str]:
    """The command that makes the tree of a Debian or Ubuntu system."""
    told = base["mmdebstrap"]
    include = [f"--include={','.join(told['include'])}"] if told["include"] else []
    parts = [f"--components={','.join(told['components'])}"] if told["components"] else []
    return [
        "mmdebstrap", "--quiet", "--mode=root", f"--variant={told['variant']}", "--format=directory", *include, *parts,
        told["suite"], tree, *told["mirrors"],
    ]  # fmt: skip


def _run(argv: Sequence[str], lock: int, *, within: Sequence[str] = ()) -> None:
    """Run a program to its end; it is killed when we are. Raises EngineError with its last words."""
    if shutil.which(argv[0]) is None and argv[0] in _PACKAGES:
        raise MissingLibrary(
            f"The program '{argv[0]}' is not installed on this host; install the package {_PACKAGES[argv[0]]} (Debian's name)."
        )
    said = run_bounded([*within, *argv], pass_fds=(lock,))
    if said.rc:
        raise failure(argv, said.rc, said.stderr)
