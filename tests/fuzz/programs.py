# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a few bytes to an image: which seed, and what is changed in it. So a fuzzer's input is small and every part of it tells.

Bytes 0 and 1 choose the seed, byte 2 what is declared. Each 8 bytes after them are one change: what (1), where (2), a shift
from there (1), how wide and in which byte order (1), and which value (3).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence

from ansible_collections.imageops.fleet.tests.fuzz.sparse import SECTOR, Seed, Stream

HEAD, CHANGE, MOST_CHANGES = 3, 8, 24
WIDTHS = "BHIQ"
FOREVER = 1 << 46
HEADERS = 64


class Image:
    """A seed under changes."""

    def __init__(self, seed: Seed) -> None:
        self.seed, self.size = seed, seed.size
        self.sectors = dict(seed.sectors)

    def get(self, offset: int, length: int) -> bytes:
        found = b"".join(
            self.sectors.get(number, bytes(SECTOR))
            for number in range(offset // SECTOR, (offset + length) // SECTOR + 1)
        )
        return found[offset % SECTOR : offset % SECTOR + length]

    def put(self, offset: int, data: bytes) -> None:
        for at, byte in enumerate(data, offset):
            sector = bytearray(self.sectors.get(at // SECTOR, bytes(SECTOR)))
            sector[at % SECTOR] = byte
            self.sectors[at // SECTOR] = bytes(sector)

    def stream(self) -> Stream:
        return Stream(self.sectors, self.size)

    def dumped(self, declared: str | None) -> str:
        """All of it as text: qemu-img makes other identifiers each time, so a program means the same only for a while."""
        sectors = {number: piece.hex() for number, piece in self.sectors.items() if any(piece)}
        return json.dumps({"seed": self.seed.name, "size": self.size, "declared": declared, "sectors": sectors})


def loaded(text: str) -> tuple[Image, str | None]:
    """What was dumped."""
    told = json.loads(text)
    sectors = {int(number): bytes.fromhex(piece) for number, piece in told["sectors"].items()}
    return Image(Seed(told["seed"], told["declared"] or "", told["size"], sectors, (0,))), told["declared"]


def build(program: bytes, seeds: Sequence[Seed]) -> tuple[Image, str | None]:
    """The image that a program means, and what it is declared as."""
    program = program.ljust(HEAD, b"\0")
    image = Image(seeds[int.from_bytes(program[:2], "little") % len(seeds)])
    for at in range(HEAD, min(len(program), HEAD + CHANGE * MOST_CHANGES), CHANGE):
        _change(image, program[at : at + CHANGE].ljust(CHANGE, b"\0"))
    if image.seed.declared == "vhd" and program[2] & 4:
        _sign_vhd(image)
    return image, (image.seed.declared, None, "raw", image.seed.declared)[program[2] & 3]


def _change(image: Image, words: bytes) -> None:
    kind, place, shift, form, number = (
        words[0] % 8,
        *struct.unpack_from("<HbB", words, 1),
        int.from_bytes(words[5:], "little"),
    )
    spots = image.seed.spots
    # Half of the changes are in the headers, which come first.
    nearest = spots[:HEADERS] if place & 1 else spots
    offset = nearest[(place >> 1) % len(nearest)] + shift % 16
    layout = "<>"[form >> 2 & 1] + WIDTHS[form & 3]
    width = struct.calcsize(layout)
    (old,) = struct.unpack(layout, image.get(offset, width))
    mask = (1 << width * 8) - 1
    if kind < 4:
        image.put(offset, struct.pack(layout, _value(image, old, number, mask) & mask))
    elif kind == 4:
        image.put(offset, struct.pack(layout, (old + (number % 512) - 256) & mask))
    elif kind == 5:
        image.put(offset, struct.pack(layout, old ^ 1 << number % (width * 8)))
    elif kind == 6:
        image.put(offset, image.get(spots[number % len(spots)], 16))
    else:
        image.size = _size(image, number)


def _value(image: Image, old: int, number: int, mask: int) -> int:
    """A number that something may stumble over."""
    choice, rest = number % 12, number // 12
    return (
        0,
        mask,
        mask >> 1,
        (mask >> 1) + 1,
        1 << rest % 64,
        (1 << rest % 64) - 1,
        image.size + rest % 3 - 1,
        image.size // SECTOR + rest % 3 - 1,
        -(-image.size // 65536) * 65536,
        old << rest % 24,
        image.seed.spots[rest % len(image.seed.spots)],
        rest,
    )[choice]


def _size(image: Image, number: int) -> int:
    """The file is cut, or has a hole at its end."""
    choice, rest = number % 4, number // 4
    return (
        rest,
        image.size * (rest % 1024) // 1024,
        max(image.size + rest % 2049 - 1024, 0),
        1 << rest % FOREVER.bit_length(),
    )[choice]


def _sign_vhd(image: Image) -> None:
    """Right checksums, so that more than those is looked at."""
    for start, length, at in ((0, 512, 64), (image.size - 512, 512, 64), (512, 1024, 36)):
        data = image.get(start, length) if start >= 0 and start % SECTOR == 0 else b""
        if data[:8] in (b"conectix", b"cxsparse"):
            total = sum(data) - sum(data[at : at + 4])
            image.put(start + at, struct.pack(">I", ~total & 0xFFFFFFFF))
