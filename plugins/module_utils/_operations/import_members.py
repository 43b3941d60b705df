# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The members of an archive that somebody else made: where each is, and nothing but plain files with plain names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from .._errors import UnsafeImage
from .._portable.iso_reader import files_of_iso
from .._portable.ovf_reader import is_plain_name
from .._transfer.tar_stream import Member, TarStream

MOST_MEMBERS = 1000
_MOST_TEXT = 4 << 20


@dataclass(frozen=True)
class Part:
    """A file of a package: the file that holds it, where in that it begins, and how many bytes it has."""

    path: str
    offset: int
    size: int


class _Positioned:
    """Reads an open file, and knows how far it is."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.at = 0
        self._end = os.fstat(handle).st_size

    def read(self, count: int) -> bytes:
        data = os.pread(self._handle, count, self.at)
        self.at += len(data)
        return data

    def skip(self, count: int) -> bool:
        self.at += count
        return self.at <= self._end


class Names:
    """The names that came so far; each member must have its own, and be a plain file."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._seen: set[str] = set()

    def of(self, member: Member) -> str:
        """The member's name, nothing for the archive's own folder; raises UnsafeImage."""
        name = member.name.removeprefix("./")
        if member.is_folder and name.rstrip("/") in ("", "."):
            return ""
        if not is_plain_name(name):
            raise self._unsafe(f"it has the member {member.name[:80]!a}, which is no plain name")
        if not member.is_plain:
            raise self._unsafe(f"its member {name!a} is a link, a device, a folder or sparse, and no plain file")
        if name in self._seen:
            raise self._unsafe(f"it has the member {name!a} twice")
        self._seen.add(name)
        return name

    def _unsafe(self, why: str) -> UnsafeImage:
        return UnsafeImage(f"src: {self._where} is not safe to use: {why}.")


def parts_of_tar(handle: int, path: str) -> dict[str, Part]:
    """Where each member of the open tar is; contents are passed over."""
    return dict(_parts(handle, path))


def _parts(handle: int, path: str) -> Iterator[tuple[str, Part]]:
    source, names = _Positioned(handle), Names(path)
    for member in TarStream(source.read, most=MOST_MEMBERS, where=f"src: {path}", skip=source.skip):
        name = names.of(member)
        if name:
            yield name, Part(path, source.at, member.size)


def parts_of_iso(handle: int, path: str) -> dict[str, Part]:
    """Where each file in the first folder of the open ISO file system is."""

    def read(place: int, count: int) -> bytes:
        return os.pread(handle, count, place)

    found = files_of_iso(read, os.fstat(handle).st_size, where=path)
    return {name: Part(path, place, size) for name, (place, size) in found.items()}


def text_of(part: Part, handle: int, *, name: str) -> bytes:
    """A small file; raises UnsafeImage for one that is no text of this kind by its length."""
    if part.size > _MOST_TEXT:
        raise UnsafeImage(
            f"src: {name} in {part.path} has {part.size} bytes, and a text of its kind at most {_MOST_TEXT}."
        )
    data = os.pread(handle, part.size, part.offset)
    if len(data) != part.size:
        raise UnsafeImage(f"src: {name} in {part.path} is cut off; get the file again.")
    return data
