# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a disk without a container holds at its start: nothing of it is trusted, it is only told."""

from __future__ import annotations

from .facts import Draft
from .reader import SECTOR, Reader, check_virtual_size
from .rules import finding

ISO_AT, ISO_MAGIC = 32769, b"CD001"
BOOT_MARK_AT, BOOT_MARK = 510, b"\x55\xaa"
PARTITIONS_AT, PARTITION = 446, 16
GPT_MAGIC, GPT_TYPE = b"EFI PART", 0xEE


def parse(image: Reader, draft: Draft) -> None:
    """The file is the disk; QEMU rounds its length up to a sector."""
    draft.virtual_size = -(-image.size // SECTOR) * SECTOR
    draft.header = {"partition_table": partition_table(image), "file_system": "iso9660" if has_iso(image) else None}
    check_virtual_size(draft)
    if has_iso(image):
        draft.findings.append(finding("iso-image", "The raw image carries an ISO 9660 file system."))


def has_iso(image: Reader) -> bool:
    """Whether the first volume descriptor of ISO 9660 is there."""
    return image.upto(ISO_AT, len(ISO_MAGIC)) == ISO_MAGIC


def has_boot_mark(image: Reader) -> bool:
    """Whether a BIOS would start the first sector."""
    return image.upto(BOOT_MARK_AT, len(BOOT_MARK)) == BOOT_MARK


def partition_table(image: Reader) -> str | None:
    """gpt, mbr or nothing; the boot mark alone, which file systems carry too, is no table."""
    start = image.upto(0, 2 * SECTOR)
    if start[BOOT_MARK_AT:SECTOR] != BOOT_MARK:
        return None
    rows = [start[at : at + PARTITION] for at in range(PARTITIONS_AT, BOOT_MARK_AT, PARTITION)]
    if any(row[0] & 0x7F for row in rows) or not any(row[4] for row in rows):
        return None
    protective = any(row[4] == GPT_TYPE for row in rows)
    return "gpt" if protective and image.upto(SECTOR, 8) == GPT_MAGIC else "mbr"
