# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LUKS, the container of encrypted disks: version 1 (LUKS1 On-Disk Format Specification 1.2.3), version 2 in luks2.py.

Offset  Size  Field (big endian)         Offset  Size  Field
     0     6  magic "LUKS\\xba\\xbe"          104     4  payload offset, sectors
     6     2  version                       108     4  key bytes
     8    32  cipher name                   112    20  master key digest
    40    32  cipher mode                   132    32  salt
    72    32  hash                          164     4  iterations
                                            168    40  UUID
   208   8 x  key slots of 48 bytes: state, iterations, salt (32), key material offset in sectors, stripes
"""

from __future__ import annotations

import struct

from . import luks2
from .facts import Draft
from .reader import SECTOR, Malformed, Reader, check_virtual_size
from .rules import finding

LAYOUT = ">6sH32s32s32sII20s32sI40s"
HEADER_SIZE, SLOTS_AT, SLOT, SLOTS = 592, 208, ">II32sII", 8
ENABLED, DISABLED = 0x00AC71F3, 0x0000DEAD
MAX_KEY_BYTES = 512
# Anti-forensic stripes: every writer uses 4000.
MAX_STRIPES = 1 << 20


def parse(image: Reader, draft: Draft) -> None:
    """The header in the file itself: the disk is what follows it."""
    draft.encryption = "luks"
    version = int.from_bytes(image.exact(6, 2, what="LUKS version"), "big")
    draft.variant = f"v{version}"
    if version == 2:
        draft.virtual_size = max(image.size - 2 * luks2.BINARY_SIZE, 0)
        luks2.parse(image, draft)
        raise Malformed("unsupported-variant", "QEMU reads LUKS version 1 only; decrypt the disk with cryptsetup.")
    if version != 1:
        raise Malformed("unsupported-variant", f"LUKS version {version} is not known; decrypt it where it was made.")
    payload = read_luks1(image, draft, at=0, length=image.size)
    detached = not payload
    draft.header = {"payload_offset": payload, "detached": detached}
    if detached:
        raise Malformed("unsupported-variant", "The file is a detached LUKS header; its disk lies in another file.")
    if payload > image.size:
        raise Malformed("truncated", f"The LUKS payload starts at byte {payload}, the file ends at {image.size}.")
    # QEMU rounds the length of a file up to a sector.
    draft.virtual_size = -(-image.size // SECTOR) * SECTOR - payload
    draft.header_area = payload
    check_virtual_size(draft)
    draft.findings.append(finding("encrypted", "The image is encrypted (luks)."))


def read_luks1(image: Reader, draft: Draft, *, at: int, length: int) -> int:
    """Note what a version 1 header says, and return its payload's offset; `length` is the room of header and key slots."""
    data = image.exact(at, HEADER_SIZE, what="LUKS header")
    fields = struct.unpack_from(LAYOUT, data)
    _magic, version, cipher, mode, hashed, payload, key_bytes, _digest, _salt, _turns, uuid = fields
    slots = [struct.unpack_from(SLOT, data, SLOTS_AT + number * 48) for number in range(SLOTS)]
    draft.cipher = {
        "type": "luks",
        "version": version,
        "cipher": _word(cipher),
        "mode": _word(mode),
        "hash": _word(hashed),
        "key_bits": min(key_bytes, MAX_KEY_BYTES) * 8,
        "uuid": _word(uuid),
        "payload_offset": payload * SECTOR,
        "key_slots": [number for number, slot in enumerate(slots) if slot[0] == ENABLED],
    }
    _check(data, slots, key_bytes=key_bytes, payload=payload)
    _check_slots(draft, slots, key_bytes=key_bytes, length=length)
    return int(payload) * SECTOR


def _word(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("ascii", "replace")


def _check(data: bytes, slots: list[tuple[int, ...]], *, key_bytes: int, payload: int) -> None:
    """QEMU's own rules (crypto/block-luks.c)."""
    problems = {
        "a name without an end": any(0 not in data[start : start + 32] for start in (8, 40, 72)),
        f"keys of {key_bytes} bytes": not 0 < key_bytes <= MAX_KEY_BYTES,
        "a key slot that is neither enabled nor disabled": any(slot[0] not in (ENABLED, DISABLED) for slot in slots),
        "a key slot with an absurd number of stripes": any(slot[4] > MAX_STRIPES for slot in slots),
        "a payload inside the header": 0 < payload * SECTOR < HEADER_SIZE,
    }
    wrong = [told for told, is_wrong in problems.items() if is_wrong]
    if wrong:
        raise Malformed("malformed-header", f"The LUKS header gives {wrong[0]}, which QEMU refuses.")


def _check_slots(draft: Draft, slots: list[tuple[int, ...]], *, key_bytes: int, length: int) -> None:
    """The key material of an enabled slot lies between header and payload, in a place of its own."""
    places = sorted((slot[3] * SECTOR, slot[3] * SECTOR + key_bytes * slot[4]) for slot in slots if slot[0] == ENABLED)
    if places and places[0][0] < HEADER_SIZE:
        raise Malformed("table-overlap", "The key material of a LUKS key slot lies inside the header.")
    if any(one[1] > other[0] for one, other in zip(places, places[1:])):
        raise Malformed("table-overlap", "The key materials of two LUKS key slots overlap.")
    payload = int(draft.cipher["payload_offset"])
    if places and payload and places[-1][1] > payload:
        raise Malformed("table-overlap", "The key material of a LUKS key slot lies inside the payload.")
    if places and places[-1][1] > length:
        raise Malformed("truncated", "The key material of a LUKS key slot is not in the file; get it again.")
