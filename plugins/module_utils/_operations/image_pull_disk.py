# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which disk of an image a pull means."""

from __future__ import annotations

from .._catalog.image import DiskEntry, ImageConfig
from .._errors import InvalidOption, NotFound


def chosen_disk(config: ImageConfig, name: str, *, shown: str) -> DiskEntry:
    """The disk of that name, or the only one when the name is empty; raises InvalidOption or NotFound with the names there are."""
    names = ", ".join(disk.name for disk in config.disks)
    if not name:
        if len(config.disks) > 1:
            raise InvalidOption(
                f"dest: the image {shown} has several disks ({names}); name one with 'disk', or let 'dest' be a folder (a path with a "
                f"slash behind it)."
            )
        return config.disks[0]
    found = config.disk(name)
    if found is None:
        raise NotFound(f"disk: the image {shown} has no disk '{name}'; it has {names}.")
    return found
