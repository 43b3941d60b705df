# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files an image needs besides itself: backing files, files of guest data, parents of differencing disks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import ImageOpsError
from .._files import real_path
from .._formats.chain import backing_path, follows, open_image
from .._formats.facts import ImageFacts
from .._formats.signatures import QCOW2, QED, VDI, VDI_AT, VHD, VHDX, VMDK_SPARSE, is_vmdk_text

_START = 512
_DATA_FILE_AT = 79
# Byte 60 of a VHD's first footer is its type, 4 a differencing disk; byte 16 of QED and 72 of qcow2 hold feature bits.
_VHD_TYPE, _DIFFERENCING = slice(60, 64), b"\0\0\0\4"


@dataclass(frozen=True)
class Needs:
    """Real paths: `below` is what engines read where the image has nothing, `beside` holds its own data.

    `parent_id` is the parent of a differencing VDI, which is named by nothing else; `image_id` what others call it.
    """

    below: str = ""
    beside: tuple[str, ...] = ()
    image_id: str = ""
    parent_id: str = ""

    @property
    def all(self) -> tuple[str, ...]:
        """Every file that is named."""
        return (*((self.below,) if self.below else ()), *self.beside)


class Layers:
    """What images need, by our parsers; a file is read again only when it was written."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[int, ...], Needs]] = {}

    def needs(self, path: str) -> Needs:
        """What `path` needs; nothing for what can't be read."""
        return self._needs(real_path(path))

    def _needs(self, real: str) -> Needs:
        try:
            found = os.stat(real)
        except OSError:
            return Needs()
        version = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        known = self._known.get(real)
        if known is None or known[0] != version:
            known = self._known[real] = (version, _read(real))
        return known[1]

    def _real(self, path: str) -> str:
        return real_path(path)

    def below(self, path: str) -> str:
        """Real path of the backing file or parent, an empty string for none."""
        needs = self.needs(path)
        if needs.parent_id:
            return self._by_id(self._real(path), needs.parent_id)
        return needs.below

    def chain(self, path: str) -> Iterator[str]:
        """Real paths from `path` down, each with the files that hold its data."""
        waiting, seen = [self._real(path)], set[str]()
        while waiting:
            here = waiting.pop(0)
            if here in seen:
                continue
            seen.add(here)
            yield here
            below = self.below(here)
            waiting += [*self.needs(here).beside, *([below] if below else [])]

    def glance(self) -> Glance:
        """For one question about many files."""
        return Glance(self._known)

    def _by_id(self, child: str, identity: str) -> str:
        """VirtualBox keeps differencing disks beside their parent, or in the folder Snapshots beside it."""
        folder = os.path.dirname(child)
        for place in (folder, os.path.dirname(folder)):
            for name in files_of(place):
                if name != child and self.needs(name).image_id == identity:
                    return name
        return ""


class Glance(Layers):
    """Layers for one question: every name is a real path already, and each file is looked at once."""

    def __init__(self, known: dict[str, tuple[tuple[int, ...], Needs]]) -> None:
        self._known = known
        self._seen: dict[str, Needs] = {}
        self._inodes: dict[str, tuple[int, int] | None] = {}

    def needs(self, path: str) -> Needs:
        if path not in self._seen:
            self._seen[path] = self._needs(path)
        return self._seen[path]

    def _real(self, path: str) -> str:
        return path

    def same(self, one: str, other: str) -> bool:
        """Whether two names mean one file; hard links and bind mounts have many names."""
        return one == other or (self._inode(one) or one) == (self._inode(other) or other)

    def _inode(self, path: str) -> tuple[int, int] | None:
        if path not in self._inodes:
            try:
                found = os.stat(path)
                self._inodes[path] = (found.st_dev, found.st_ino)
            except OSError:
                self._inodes[path] = None
        return self._inodes[path]


def real_files_of(folder: str) -> list[str]:
    """The real paths of the regular files of a folder, sorted; none where it can't be read."""
    real = real_path(folder)
    try:
        with os.scandir(real) as entries:
            return sorted(real_path(one.path) if one.is_symlink() else one.path for one in entries if _is_file(one))
    except OSError:
        return []


def files_of(folder: str) -> list[str]:
    """The regular files of a folder, sorted; none where it can't be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.path for entry in entries if _is_file(entry))
    except OSError:
        return []


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Whether it is a regular file; a link that leads nowhere is none, and hides no other one."""
    try:
        return entry.is_file()
    except OSError:
        return False


def _read(path: str) -> Needs:
    try:
        with open_image(path) as image:
            image.stream.seek(0)
            if not _may_need(image.stream.read(_START)):
                return Needs()
            from .._formats.probe import inspect

            facts = inspect(image.stream, size=image.size)
    except (ImageOpsError, OSError):
        return Needs()
    identity = facts.header if facts.format == "vdi" else {}
    return Needs(
        below=_backing(path, facts) or _parent(path, facts),
        beside=tuple(real_path(backing_path(path, one.name)) for one in facts.references if follows(one.name)),
        image_id=identity.get("image_id") or "",
        parent_id=identity.get("parent_id") or "",
    )


def _may_need(start: bytes) -> bool:
    """Whether a file that starts so may name another one; most files of a folder end here."""
    if start.startswith(QCOW2):
        return len(start) > _DATA_FILE_AT and (any(start[8:16]) or _names_data_file(start))
    if start.startswith(QED):
        return len(start) > 16 and bool(start[16] & 1)
    if start.startswith(VHD):
        return start[_VHD_TYPE] == _DIFFERENCING
    return start.startswith((VMDK_SPARSE, VHDX)) or start[VDI_AT : VDI_AT + 4] == VDI or is_vmdk_text(start)


def _names_data_file(start: bytes) -> bool:
    """Whether a qcow2 header of version 3 says that the guest data lie in another file."""
    return start[4:8] >= b"\0\0\0\3" and bool(start[_DATA_FILE_AT] & 4)


def _backing(path: str, facts: ImageFacts) -> str:
    named = facts.backing.name if facts.backing else ""
    return real_path(backing_path(path, named)) if named and follows(named) else ""


def _parent(path: str, facts: ImageFacts) -> str:
    """The parent of a differencing VHD or VHDX, by the paths that Windows wrote, as seen from this folder."""
    parent = facts.header.get("parent")
    if facts.format not in ("vhd", "vhdx") or not parent:
        return ""
    for name in _names(facts.format, parent):
        for tried in (name, name.rsplit("/", 1)[-1]):
            found = real_path(os.path.join(os.path.dirname(path), tried))
            if tried and found != path and os.path.isfile(found):
                return found
    return ""


def _names(format: str, parent: dict[str, object]) -> list[str]:
    """The recorded paths with slashes, the relative ones first."""
    if format == "vhdx":
        told = [parent.get(key) for key in ("relative_path", "absolute_win32_path", "volume_path")]
    else:
        rows = parent.get("locators")
        told = [row.get("path") for row in rows] if isinstance(rows, list) else []
        told.append(parent.get("name"))
    names = [str(one).replace("\\", "/") for one in told if one]
    return [name for name in names if "\0" not in name]
