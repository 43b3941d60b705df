# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk without a container holds at its start: nothing of it is trusted, it is only told."""

from __future__ import annotations

from . import content, iso9660, partitions
from .facts import Draft
from .reader import SECTOR, Reader, check_virtual_size
from .rules import finding


def parse(image: Reader, draft: Draft) -> None:
    """The file is the disk; QEMU rounds its length up to a sector."""
    draft.virtual_size = -(-image.size // SECTOR) * SECTOR
    draft.header = {"iso": iso9660.describe(image), "content": content.what(image)}
    check_virtual_size(draft)
    partitions.describe(image, draft)
    if draft.header["content"]:
        draft.findings.append(finding("other-content", f"The raw file begins as {draft.header['content']}."))
    if draft.header["iso"]:
        draft.findings.append(finding("iso-image", _told(image, draft.header["iso"]["volume_size"])))


def _told(image: Reader, size: int) -> str:
    short = f", of which only {image.size} of {size} bytes are there" if size > image.size else ""
    return f"The raw image carries an ISO 9660 file system{short}."
