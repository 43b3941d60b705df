# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The UEFI variables that came with images which this host holds: kept for the VMs that are made of these.

A file is the sha256 of the frame, and the frame. So every pull sees at once whether it is whole, and brings another one when it isn't,
without taking out the content, which on Arm machines has 64 MiB.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Collection

from .._catalog.digest import Descriptor, digest_bytes, digest_of
from .._catalog.variables import MOST_VARIABLES, Variables, read_variables
from .._errors import NotFound, TransferError
from .._files import is_partial, remove, state_dir, state_top, write_bytes
from .._registry.images import LoadedImage, read_whole_blob
from .._registry.interface import Store

_FOLDER = "variables"
# A frame of what can't be compressed is longer than that.
_MOST_FRAME = MOST_VARIABLES + (1 << 20)
_SUM = hashlib.sha256().digest_size
# A pull that is under way keeps them before there is a file that names them.
_GRACE_SECONDS = 7 * 86400.0


def image_variables(image: LoadedImage, *, where: str) -> tuple[Variables, Descriptor] | None:
    """What the image says of its variables, and the blob that holds them; None when it has none, TransferError for what can't be."""
    told, blob = read_variables(image.config.vm, where=where), image.manifest.variables
    if told is None:
        return None
    if blob is None or blob.size > _MOST_FRAME:
        holds = "none" if blob is None else f"{blob.size} bytes of them, which is too much"
        raise TransferError(f"{where}: the image tells of UEFI variables, and holds {holds}.")
    return told, blob


def fetch_variables(store: Store, image: LoadedImage) -> tuple[Variables, bytes] | None:
    """What the image says of its variables, and their frame, which was checked; None when it has none."""
    where = f"{store.where}@{image.digest}"
    found = image_variables(image, where=where)
    if found is None:
        return None
    told, blob = found
    frame = read_whole_blob(store, blob, most=_MOST_FRAME)
    _unpacked(told, frame, where=where)
    return told, frame


def keep_variables(told: Variables, frame: bytes) -> None:
    """Keep them, by the digest of their content."""
    state_dir(_FOLDER)
    write_bytes(_path(told), hashlib.sha256(frame).digest() + frame)


def are_kept(told: Variables) -> bool:
    """Whether this host has them, and whole."""
    found = _read(told)
    return found is not None and _is_whole(found)


def kept_variables(told: Variables) -> bytes:
    """Their content; raises NotFound when they aren't here any more, TransferError when they are damaged."""
    path, found = _path(told), _read(told)
    if found is not None and _is_whole(found):
        return _unpacked(told, found[_SUM:], where=path)
    way_out = "bring them back by imageops.fleet.image_pull of the same image to the same file"
    if found is None:
        raise NotFound(f"image: the UEFI variables that came with it are gone from {os.path.dirname(path)}; {way_out}.")
    with contextlib.suppress(TransferError):
        # Earlier versions kept the frame alone; the digest of the content tells whether it is one.
        return _unpacked(told, found, where=path)
    raise TransferError(f"image: the UEFI variables that came with it are damaged in {path}; {way_out}.")


def _read(told: Variables) -> bytes | None:
    """The file; None when there is none."""
    try:
        with open(_path(told), "rb") as stream:
            return stream.read(_SUM + _MOST_FRAME + 1)
    except FileNotFoundError:
        return None


def _is_whole(found: bytes) -> bool:
    return len(found) > _SUM and hashlib.sha256(found[_SUM:]).digest() == found[:_SUM]


def tidy_variables(used: Collection[str], now: float) -> None:
    """Remove those whose digest isn't in `used`, unless they came lately."""
    folder = state_dir(_FOLDER)
    names = {digest_bytes(digest).hex() for digest in used}
    for entry in os.scandir(folder):
        # What another pull is just giving its name is gone under the old one.
        with contextlib.suppress(FileNotFoundError):
            old = now - entry.stat(follow_symlinks=False).st_mtime > _GRACE_SECONDS
            if old and (is_partial(entry.name) or entry.name not in names):
                remove(entry.path)


def _path(told: Variables) -> str:
    return os.path.join(state_top(), _FOLDER, digest_bytes(told.content).hex())


def _unpacked(told: Variables, frame: bytes, *, where: str) -> bytes:
    from .._transfer.zstd import DamagedFrame, FrameDecompressor

    try:
        content = FrameDecompressor(told.size).decompress(frame)
    except DamagedFrame as error:
        raise TransferError(f"{where}: the UEFI variables can't be decompressed: {error}.") from None
    if digest_of(content) != told.content:
        raise TransferError(f"{where}: the UEFI variables are not what was published: their digest is another one.")
    return content
