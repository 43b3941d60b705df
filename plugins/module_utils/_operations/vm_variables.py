# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file with a VM's UEFI variables (NVRAM): read from a VM, and written for a new one before libvirt would make it from a template."""

from __future__ import annotations

import os

from .._catalog.digest import digest_of
from .._errors import Conflict
from .._files import partial_path, remove
from .._jobs.clock import Clock
from .._records import Record, publish_with_record, read_record

MODE = 0o600
_ATTEMPTS, _PAUSE = 20, 0.1


def settled(path: str, *, changing: bool, clock: Clock) -> bytes:
    """The content of the file; when a running VM is `changing` it, as it is when nothing was written for a moment."""
    found = read_variables_file(path)
    for _attempt in range(_ATTEMPTS if changing else 0):
        clock.sleep(_PAUSE)
        again = read_variables_file(path)
        if again == found:
            break
        found = again
    return found


def require_own(path: str, *, vm: str, content: str) -> None:
    """Raise Conflict unless the VM may have its variables at `path`: nothing is there, or ours, or the same (`content` is its digest)."""
    record = read_record(path) if os.path.exists(path) else None
    mine = record is not None and record.options.get("vm") == vm
    if os.path.exists(path) and not mine and digest_of(read_variables_file(path)) != content:
        raise Conflict(
            f"name: {path}, the place of the UEFI variables of {vm}, is taken by another file; remove it, or give another name."
        )


def write_variables(path: str, content: bytes, *, vm: str, version: str, mode: int = MODE) -> None:
    """Let the file have that content, and belong to who owns the folder, which in libvirt's own is QEMU's user."""
    partial = partial_path(path)
    remove(partial)
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    try:
        with os.fdopen(handle, "wb") as stream:
            _give(stream.fileno(), os.path.dirname(path), mode)
            stream.write(content)
        record = Record("nvram", "raw", len(content), options={"vm": vm}, tool=version)
        publish_with_record(partial, path, record)
    except BaseException:
        remove(partial)
        raise


def _give(handle: int, folder: str, mode: int) -> None:
    if os.geteuid() == 0:
        owner = os.stat(folder)
        os.fchown(handle, owner.st_uid, owner.st_gid)
    os.fchmod(handle, mode)


def read_variables_file(path: str) -> bytes:
    """All of it: such files are small."""
    with open(path, "rb") as stream:
        return stream.read()
