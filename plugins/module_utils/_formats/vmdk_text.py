# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text that a VMDK of one file says about itself."""

from __future__ import annotations

# cylinders at most, heads, sectors (ATA's limit; what SCSI BIOSes translate to)
_IDE, _SCSI = (16383, 16, 63), (65535, 255, 63)
# VMware's value for tools that the guest looks after itself, such as open-vm-tools
TOOLS_VERSION = 2147483647
# The name that VMware's exports give; nothing reads it, since the extent is the file itself.
STREAM_NAME = "generated-stream.vmdk"
# No parent, and a value that some software takes for an empty disk.
_RESERVED = {"ffffffff", "fffffffe", "00000000"}


def descriptor(
    capacity: int, *, create_type: str, extent: str, identity: bytes, adapter_type: str, hardware_version: int
) -> bytes:
    """The descriptor of a disk of `capacity` sectors in the file `extent`; its content IDs are taken from the digest `identity`."""
    words = [identity[at : at + 4].hex() for at in range(0, len(identity), 4)]
    content_id = next(word for word in (*words, "12345678") if word not in _RESERVED)
    most, heads, sectors = _IDE if adapter_type == "ide" else _SCSI
    cylinders = max(1, min(most, -(-capacity // (heads * sectors))))
    lines = (
        "# Disk DescriptorFile",
        "version=1",
        'encoding="UTF-8"',
        f"CID={content_id}",
        "parentCID=ffffffff",
        f'createType="{create_type}"',
        "",
        "# Extent description",
        f'RW {capacity} SPARSE "{extent}"',
        "",
        "# The Disk Data Base",
        "#DDB",
        "",
        f'ddb.adapterType = "{adapter_type}"',
        f'ddb.geometry.cylinders = "{cylinders}"',
        f'ddb.geometry.heads = "{heads}"',
        f'ddb.geometry.sectors = "{sectors}"',
        f'ddb.longContentID = "{"".join(words[1:4])}{content_id}"',
        f'ddb.toolsVersion = "{TOOLS_VERSION}"',
        f'ddb.virtualHWVersion = "{hardware_version}"',
        "",
    )
    return "\n".join(lines).encode("utf-8")
