# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One conversion on its way through its phases: what every phase gets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._jobs.progress import Progress
from .._qemu.node import Image
from .._qemu.options import virtual_size
from .convert_images import source_image
from .convert_place import Place
from .inspection import Inspected


@dataclass(frozen=True)
class Work:
    """What engines and verification need.

    `params` are those of the job, `place` is where an engine writes, `lock` is a descriptor that every engine process
    inherits.
    """

    params: dict[str, Any]
    source: Inspected
    place: Place
    progress: Progress
    lock: int

    @property
    def target(self) -> Image:
        """The unfinished image that an engine writes."""
        passphrase = self._secrets.get("target") if self.params["encryption"] is not None else None
        return Image(self.place.path, self.params["format"], passphrase=passphrase)

    @property
    def source_image(self) -> Image:
        """The source as an engine shall open it: what was inspected, not what has its name."""
        return source_image(self.source, passphrase=self._secrets.get("source"))

    @property
    def virtual_size(self) -> int:
        """The size in bytes that the finished image has."""
        return virtual_size(self.params["format"], self.source.virtual_size, self.params["options"])

    @property
    def _secrets(self) -> dict[str, str]:
        found: dict[str, str] = self.params.get("secrets", {})
        return found
