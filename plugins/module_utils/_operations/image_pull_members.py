# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member of a container's layer means for /disk: a disk, or the end of what lower layers have (OCI image specification 1.1, layer.md)."""

from __future__ import annotations

import posixpath

from .._errors import UnsafeImage
from .._transfer.tar_stream import Member

_FOLDER = "disk"
_MARK = ".wh."
_OPAQUE = ".wh..wh..opq"
# Longer ones no file system of Linux takes.
_MOST_NAME = 255
_MOST_NAMES = 4096


def disk_name(member: Member, *, where: str) -> str:
    """The name of a disk, empty for everything else; raises UnsafeImage for links and devices among the disks."""
    folder, name = _split(member)
    if folder != _FOLDER or member.is_folder or name.startswith(_MARK) or not _is_name(name):
        return ""
    if not member.is_plain:
        raise UnsafeImage(f"{where}: /disk/{name} is a link, a device or a sparse member, and no plain file.")
    return name


class Hidden:
    """What layers hide of the disks in those below them: some names, or with `all` everything."""

    def __init__(self) -> None:
        self.all = False
        self._names: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether a disk of that name is hidden."""
        return self.all or name in self._names

    def note(self, member: Member, *, where: str) -> None:
        """A member hides what has its own name, or what it marks as removed; raises UnsafeImage for too many."""
        folder, name = _split(member)
        gone = not folder and (name == f"{_MARK}{_FOLDER}" or (name == _FOLDER and not member.is_folder))
        if gone or (name == _OPAQUE and folder in ("", _FOLDER)):
            self.all = True
        elif folder == _FOLDER and len(name) <= _MOST_NAME:
            self._names.add(name.removeprefix(_MARK))
            if len(self._names) > _MOST_NAMES:
                raise UnsafeImage(f"{where}: /disk has more than {_MOST_NAMES} files.")

    def add(self, other: Hidden) -> None:
        """Hide what another layer hides, too."""
        self.all = self.all or other.all
        self._names |= other._names


def _is_name(name: str) -> bool:
    return len(name) <= _MOST_NAME and name.isprintable()


def _split(member: Member) -> tuple[str, str]:
    folder, name = posixpath.split(posixpath.normpath(member.name).lstrip("/"))
    return folder, name
