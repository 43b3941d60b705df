# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that an installer is started with, made beside the new disk under hidden names: QEMU reaches them there as it reaches the disk."""

from __future__ import annotations

import io
import os
import shutil
from typing import Any, BinaryIO

from .._errors import InvalidOption, NotFound
from .._files import partial_path, remove
from .._formats.cpio import ALIGNMENT, newc
from .small_iso import opened, require_builder
from .vm_install_answers import FIRMWARE, INITRD, VOLUME, Answers

_PARTS = ("", "-kernel", "-initrd", "-answers", "-variables", "-start")
_SERVED = "-served"
_PIECE = 1 << 20
# Kernels and initial RAM file systems are no larger; an image may claim anything.
_MOST_MEMBER = 4 << 30
# Those of a distribution's largest medium, with a folder of 2 KiB for each package, and once more for Joliet.
_MOST_FOLDERS = 128 << 20


def hidden(path: str, part: str = "") -> str:
    """The hidden name of a part of the installation of the disk `path`; the disk itself without a part."""
    return partial_path(path, suffix=f"-{part}" if part else "")


def hidden_files(path: str) -> list[str]:
    """All files that an installation makes beside the disk."""
    return [partial_path(path, suffix=suffix) for suffix in _PARTS]


def served_folder(path: str) -> str:
    """The folder of files that are served for a network boot."""
    return partial_path(path, suffix=_SERVED)


def remove_beside(path: str) -> None:
    """Remove all that an installation made, but the disk."""
    for one in hidden_files(path):
        if one != hidden(path):
            remove(one)
    shutil.rmtree(served_folder(path), ignore_errors=True)


def new_file(path: str, mode: int = 0o600) -> BinaryIO:
    """An empty file that nobody else may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode), "wb")


def _keyword(image: Any) -> str:
    """How the image tells long names."""
    if image.has_rock_ridge():
        return "rr_path"
    return "joliet_path" if image.has_joliet() else "udf_path" if image.has_udf() else "iso_path"


class _Limited(io.RawIOBase):
    """Takes so many bytes; what comes then is thrown away when only the start is wanted, else refused."""

    def __init__(self, stream: BinaryIO, most: int, *, start_only: bool) -> None:
        super().__init__()
        self._stream, self._left, self._start_only = stream, most, start_only

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        if len(piece) > self._left and not self._start_only:
            raise InvalidOption("iso: a file of it is larger than 4 GiB, which no kernel is.")
        self._stream.write(piece[: self._left])
        self._left = max(0, self._left - len(piece))
        return len(piece)


def _copy_member(iso: str, name: str, stream: BinaryIO, *, most: int, start_only: bool, option: str) -> None:
    with opened(iso, folders=_MOST_FOLDERS, what=f"iso: {iso}", option=option) as image:
        keyword = _keyword(image)
        path = f"/{name.upper()};1" if keyword == "iso_path" else f"/{name}"
        try:
            image.get_file_from_iso_fp(_Limited(stream, most, start_only=start_only), **{keyword: path})
        except require_builder(option).pycdlibexception.PyCdlibException:
            raise NotFound(
                f"{option}: the ISO image {iso} has no file {name}; give the name of one, without a slash before it."
            ) from None


def member_start(iso: str, name: str, length: int, *, option: str) -> bytes:
    """The first bytes of a file on an ISO image; raises NotFound."""
    stream = io.BytesIO()
    _copy_member(iso, name, stream, most=length, start_only=True, option=option)
    return stream.getvalue()


def fetch(source: str, iso: str, target: str, *, option: str, more: bytes = b"") -> None:
    """Copy the file `source`, of this host or of the ISO image, to the new file `target`, with `more` behind it."""
    with new_file(target) as stream:
        if source.startswith("/"):
            with open(source, "rb") as origin:
                shutil.copyfileobj(origin, stream, _PIECE)
        else:
            _copy_member(iso, source, stream, most=_MOST_MEMBER, start_only=False, option=option)
        if more:
            stream.write(bytes(-stream.tell() % ALIGNMENT) + more)


def initrd_tail(answers: Answers | None) -> bytes:
    """What goes behind the installer's own initrd."""
    if answers is None or answers.delivery.where != INITRD:
        return b""
    return newc({answers.delivery.name: answers.text.encode()})


def write_answers(answers: Answers | None, target: str, owner: tuple[int, int] | None) -> bool:
    """Write the medium that the answers are on, if they are on one; `owner` is QEMU."""
    if answers is None or answers.delivery.where == INITRD:
        return False
    data = answers.volume() if answers.delivery.where == VOLUME else answers.text.encode()
    with new_file(target) as stream:
        stream.write(data)
        # libvirt gives disks, kernels and initrds to QEMU, but not these.
        if answers.delivery.where == FIRMWARE and owner and os.geteuid() == 0:
            os.fchown(stream.fileno(), *owner)
    return True
