# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One conversion on its way through its phases: what every phase gets."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._jobs.progress import Progress
from .._qemu.image import Image
from .._qemu.options import virtual_size
from .inspection import Inspected


@dataclass(frozen=True)
class Work:
    """What engines, verification and publication need.

    `params` are those of the job, `target` is the unfinished image that an engine writes, `lock` is a descriptor that
    every engine process inherits. `secrets` are texts by name; they never leave the process but by a descriptor.
    """

    params: dict[str, Any]
    source: Inspected
    target: Image
    progress: Progress
    lock: int
    secrets: dict[str, str] = field(default_factory=dict, repr=False)

    @property
    def virtual_size(self) -> int:
        """The size in bytes that the finished image has."""
        return virtual_size(self.params["format"], self.source.virtual_size, self.params["options"])
