# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Prints the sha256 of a disk of an image in an OCI layout, read without any code of the collection.

read_image.py LAYOUT TAG DISK
"""

from __future__ import annotations

import hashlib
import json
import struct
import sys
from pathlib import Path

import zstandard

BLOCK = 65536


def main(layout: str, tag: str, name: str) -> None:
    blobs = Path(layout) / "blobs" / "sha256"

    def blob(digest: str) -> bytes:
        data = (blobs / digest.partition(":")[2]).read_bytes()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            sys.exit(f"{digest} is damaged")
        return data

    listed = json.loads((Path(layout) / "index.json").read_bytes())["manifests"]
    named = [one for one in listed if one.get("annotations", {}).get("org.opencontainers.image.ref.name") == tag]
    manifest = json.loads(blob(named[0]["digest"]))
    config = json.loads(blob(manifest["config"]["digest"]))["imageops"]
    index = blob(manifest["layers"][0]["digest"])
    packs = {layer["digest"]: blob(layer["digest"]) for layer in manifest["layers"][1:]}
    disk = next(one for one in config["disks"] if one["name"] == name)
    content = bytearray(-(-disk["size"] // BLOCK) * BLOCK)
    for entry in disk["segments"]:
        data = index[entry["offset"] : entry["offset"] + entry["length"]]
        magic, count, names = struct.unpack_from("<8sII", data)
        if magic != b"IMOPSEG1":
            sys.exit("no segment")
        at = 16
        listed = [f"sha256:{data[at + 32 * i : at + 32 * i + 32].hex()}" for i in range(names)]
        at += 32 * names
        numbers = struct.unpack_from(f"<{count}H", data, at)
        pack_of = struct.unpack_from(f"<{count}H", data, at + 2 * count)
        offsets = struct.unpack_from(f"<{count}I", data, at + 4 * count)
        lengths = struct.unpack_from(f"<{count}I", data, at + 8 * count)
        for number, pack, offset, length in zip(numbers, pack_of, offsets, lengths):
            frame = packs[listed[pack]][offset : offset + length]
            place = (entry["number"] * 16384 + number) * BLOCK
            content[place : place + BLOCK] = zstandard.ZstdDecompressor().decompress(frame)
    print(hashlib.sha256(content[: disk["size"]]).hexdigest())


if __name__ == "__main__":
    main(*sys.argv[1:])
