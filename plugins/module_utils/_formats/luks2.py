# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LUKS version 2 (LUKS2 On-Disk Format Specification 1.1): a binary header of 4 KiB, then JSON, both with one checksum.

Offset  Size  Field (big endian)         Offset  Size  Field
     0     6  magic                          72    32  checksum algorithm
     6     2  version                       104    64  salt
     8     8  header size with JSON         168    40  UUID
    16     8  sequence number               208    48  subsystem
    24    48  label                         256     8  offset of this header
                                            448    64  checksum
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .facts import Draft
from .reader import MAX_PIECE, Malformed, Reader
from .rules import finding

LAYOUT = ">6sHQQ48s32s64s40s48sQ"
BINARY_SIZE, CHECKSUM_AT, CHECKSUM_SIZE = 4096, 448, 64
SMALLEST, LARGEST = 16 << 10, 4 << 20
# The usual JSON area has 12 KiB; objects take many times the memory of their text.
MAX_JSON = 512 << 10
MAX_DIGITS = 20
HASHES = ("sha1", "sha256", "sha512")


def parse(image: Reader, draft: Draft) -> None:
    """Note what the primary header says."""
    fields = image.unpack(LAYOUT, 0, what="LUKS2 header")
    _magic, _version, size, sequence, label, algorithm, _salt, uuid, _system, at = fields
    if not SMALLEST <= size <= LARGEST or size % BINARY_SIZE or size > MAX_PIECE:
        raise Malformed("malformed-header", f"The LUKS2 header gives itself a length of {size} bytes.")
    if at:
        raise Malformed("malformed-header", f"The LUKS2 header at byte 0 says that it lies at {at}.")
    data = image.exact(0, size, what="LUKS2 header")
    _check_sum(draft, data, algorithm.split(b"\0", 1)[0].decode("ascii", "replace"))
    draft.cipher = {
        "type": "luks",
        "version": 2,
        "uuid": uuid.split(b"\0", 1)[0].decode("ascii", "replace"),
        "label": label.split(b"\0", 1)[0].decode("utf-8", "surrogateescape"),
        "sequence": sequence,
    }
    _areas(image, draft, _json(data[BINARY_SIZE:]))


def _check_sum(draft: Draft, data: bytes, algorithm: str) -> None:
    if algorithm not in HASHES:
        draft.findings.append(finding("malformed-header", f"The LUKS2 header has the unknown checksum '{algorithm}'."))
        return
    blank = data[:CHECKSUM_AT] + bytes(CHECKSUM_SIZE) + data[CHECKSUM_AT + CHECKSUM_SIZE :]
    found = hashlib.new(algorithm, blank).digest()
    if data[CHECKSUM_AT : CHECKSUM_AT + len(found)] != found:
        draft.findings.append(finding("checksum", "The checksum of the LUKS2 header is wrong; get the file again."))


def _json(area: bytes) -> dict[str, Any]:
    words = area.split(b"\0", 1)[0]
    if len(words) > MAX_JSON:
        raise Malformed("absurd-size", f"The LUKS2 header has {len(words)} bytes of JSON.")
    try:
        found = json.loads(words, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise Malformed("malformed-header", "The JSON of the LUKS2 header cannot be read.") from error
    if not isinstance(found, dict):
        raise Malformed("malformed-header", "The JSON of the LUKS2 header is no object.")
    return found


def _number(digits: str) -> int:
    """Long numbers take a processor for minutes."""
    if len(digits) > MAX_DIGITS:
        raise ValueError(digits[:MAX_DIGITS])
    return int(digits)


def _areas(image: Reader, draft: Draft, told: dict[str, Any]) -> None:
    """Key slots and the first encrypted segment; sizes are decimal text, or "dynamic" for the rest of the file."""
    slots, segments = _object(told, "keyslots"), _object(told, "segments")
    draft.cipher["key_slots"] = sorted(
        int(name) for name in slots if name.isascii() and name.isdigit() and len(name) < 4
    )
    segment = next((one for one in segments.values() if isinstance(one, dict) and one.get("type") == "crypt"), {})
    cipher, _dash, mode = str(segment.get("encryption", "")).partition("-")
    draft.cipher.update(cipher=cipher, mode=mode, payload_offset=_size(segment.get("offset")))
    payload = draft.cipher["payload_offset"]
    if segment and payload <= image.size:
        size = segment.get("size")
        draft.virtual_size = image.size - payload if size == "dynamic" else min(_size(size), image.size - payload)
    draft.header = {"payload_offset": payload, "detached": not segment or payload >= image.size}


def _object(told: dict[str, Any], key: str) -> dict[str, Any]:
    found = told.get(key)
    return found if isinstance(found, dict) else {}


def _size(value: Any) -> int:
    words = str(value)
    return int(words) if words.isascii() and words.isdigit() and len(words) <= MAX_DIGITS else 0
