# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk in files to which nothing writes: held as it was inspected here and now, and read as its guest sees it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from .._errors import Conflict
from .._formats.compress_pool import workers
from .._formats.guest_content import GuestContent, RawContent
from .._qemu.nbd_export import exported
from .._qemu.node import Image
from .convert_images import source_image, told_clearly
from .inspection import Inspected, Pins, identity_of, inspect, pinned_identity


class StillFile:
    """A disk whose chain has `files` (path and fingerprint, itself first) since the task was planned.

    `doing` is the word for what is done with it, in errors.
    """

    def __init__(
        self, path: str, format: str, files: Sequence[dict[str, Any]], stack: contextlib.ExitStack, *, doing: str
    ) -> None:
        self._path = path
        self._files = list(files)
        self._doing = doing
        pins = Pins()
        stack.callback(pins.close)
        below = [one["path"] for one in files[1:]]
        found = inspect(path, declared=format, backing=below, option="disks", opener=pins.open)
        self.image: Inspected = replace(found, pinned=pins.handles)
        self.require_same()

    def require_same(self) -> None:
        """Raise Conflict when it isn't what the task looked at, by its name or by what is held of it."""
        image = self.image
        if identity_of(image.files) != self._files or pinned_identity(image.pinned, image.files) != self._files:
            raise Conflict(
                f"disks: {self._path} was written to while it was {self._doing}; run the task again when nothing writes to it."
            )

    @contextlib.contextmanager
    def content(self, lock: int) -> Iterator[GuestContent]:
        """What its guest sees."""
        image = source_image(self.image, passphrase=None)
        with content_of(image, self.image.virtual_size, shown=self._path, lock=lock) as found:
            yield found


@contextlib.contextmanager
def content_of(image: Image, size: int, *, shown: str, lock: int) -> Iterator[GuestContent]:
    """What the guest of a disk of `size` bytes sees; a raw file is read as it is, all else by an engine. `shown` is its name in errors."""
    if image.format != "raw" or image.window:
        with told_clearly(image, shown), exported(image, readers=workers(), pass_fds=(lock,)) as found:
            yield found
        return
    handle = os.open(f"/proc/self/fd/{image.descriptor}" if image.descriptor is not None else image.path, os.O_RDONLY)
    try:
        yield RawContent(handle, size)
    finally:
        os.close(handle)
