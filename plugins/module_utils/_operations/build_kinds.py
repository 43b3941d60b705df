# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kinds of bases, and what a job is told of one."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import Any

from .._errors import Unsupported
from .._files import fingerprint
from .._plan import Step
from .inspection import Inspected

PATH, IMAGE, URL = "path", "image", "url"
DIRECTORY, TARBALL, MMDEBSTRAP = "directory", "tarball", "mmdebstrap"
# Of these the disk is made, and its boot loader.
TREES = (DIRECTORY, TARBALL, MMDEBSTRAP)
KINDS = (PATH, IMAGE, URL, *TREES)
_MIB = 1 << 20


@dataclass(frozen=True)
class BuildBase:
    """`declared` is what tells one recipe from another, `told` is what the job gets, `source` what records and results tell. Plain values only.

    `steps` bring the base to this host, after which it is read again.
    """

    kind: str
    declared: dict[str, Any]
    told: dict[str, Any]
    source: dict[str, Any]
    size: int = 0
    steps: tuple[Step, ...] = ()
    files: list[str] = field(default_factory=list)
    key: str = ""

    @property
    def has_digest(self) -> bool:
        """Whether the job notes the digest of the base's file."""
        return self.kind in (PATH, IMAGE, URL)


def require_plain(image: Inspected) -> None:
    """Raise Unsupported for what can't be a base of a guest's disk."""
    facts = image.chain[0].facts
    if facts.encryption or image.format == "luks":
        raise Unsupported(f"base: {image.path} is encrypted; decrypt it with imageops.fleet.disk_convert first.")
    if not image.virtual_size:
        raise Unsupported(f"base: {image.path} holds no byte, so there is no guest in it.")


def whole_disk(size: int) -> int:
    """The size of a disk that is made of a tree of files, whole mebibytes."""
    return -(-size // _MIB) * _MIB


def tree_mark(path: str) -> str:
    """What tells whether anything in a folder changed: names, kinds, owners, sizes and times of all in it, but no content.

    What is mounted below it is no part of it.
    """
    digest = hashlib.sha256()
    device = os.stat(path).st_dev
    for folder, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if os.lstat(os.path.join(folder, name)).st_dev == device)
        for name in sorted([*folders, *files]):
            one = os.path.join(folder, name)
            found = os.lstat(one)
            size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
            told = (os.path.relpath(one, path), found.st_mode, found.st_uid, found.st_gid, size, found.st_mtime_ns)
            digest.update(repr(told).encode(errors="surrogateescape"))
    return digest.hexdigest()


def file_mark(path: str) -> str:
    """What tells whether a file was written to."""
    found = fingerprint(path)
    return repr(sorted(found.as_dict().items())) if found else ""
