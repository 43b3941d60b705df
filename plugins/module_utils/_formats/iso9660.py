# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ISO 9660 (ECMA-119): volume descriptors of 2 KiB from sector 16 on, and what stands beside it: Joliet, El Torito, UDF."""

from __future__ import annotations

from typing import Any

from .reader import Reader

BLOCK = 2048
FIRST = 16
MAGIC_AT, MAGIC = FIRST * BLOCK + 1, b"CD001"
BOOT, PRIMARY, SUPPLEMENTARY, END = 0, 1, 2, 255
MOST = 64
# The escape sequences of UCS-2 levels 1 to 3 make a supplementary descriptor one of Joliet.
JOLIET = (b"%/@", b"%/C", b"%/E")
EL_TORITO = b"EL TORITO SPECIFICATION"
# ECMA-167: these lie behind the terminator where the disc is one of UDF as well.
UDF = (b"NSR02", b"NSR03")


def has_iso(image: Reader) -> bool:
    """Whether the first volume descriptor of ISO 9660 is there."""
    return image.upto(MAGIC_AT, len(MAGIC)) == MAGIC


def describe(image: Reader) -> dict[str, Any] | None:
    """What the volume descriptors say; None without any."""
    if not has_iso(image):
        return None
    found: dict[str, Any] = {"volume_id": None, "volume_size": 0, "joliet": False, "el_torito": False, "udf": False}
    ended = False
    for number in range(FIRST, FIRST + MOST):
        data = image.upto(number * BLOCK, BLOCK)
        kind = data[1:6]
        found["udf"] = found["udf"] or kind in UDF
        if len(data) < BLOCK or not (kind == MAGIC and not ended or kind in (b"BEA01", b"TEA01", b"BOOT2", *UDF)):
            break
        if kind == MAGIC:
            _descriptor(data, found)
            ended = data[0] == END
    return found


def _descriptor(data: bytes, found: dict[str, Any]) -> None:
    if data[0] == PRIMARY and found["volume_id"] is None:
        found["volume_id"] = data[40:72].decode("latin-1").rstrip(" \0")
        found["volume_size"] = int.from_bytes(data[80:84], "little") * int.from_bytes(data[128:130], "little")
    elif data[0] == SUPPLEMENTARY:
        found["joliet"] = found["joliet"] or data[88:91] in JOLIET
    elif data[0] == BOOT:
        found["el_torito"] = found["el_torito"] or data[7:].startswith(EL_TORITO)
