# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog in a folder, read by its specification alone (OCI image layout 1.1, our block index) and by no code of the collection."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from pathlib import Path
from typing import Any

_BLOCK = 65536
_SEGMENT_BLOCKS = 16384
NAME = "org.opencontainers.image.ref.name"


class Damaged(Exception):
    """Something that is listed isn't whole."""


class Catalog:
    """The layout at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path

    def _listed(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(Path(self.path, "index.json").read_bytes())["manifests"]
        return found

    def tags(self) -> dict[str, str]:
        """Digest by tag."""
        named = [(one.get("annotations", {}).get(NAME, ""), one["digest"]) for one in self._listed()]
        return {tag: digest for tag, digest in named if tag}

    def manifests(self) -> list[str]:
        """Digests of all that is listed."""
        return [one["digest"] for one in self._listed()]

    def blob(self, digest: str) -> bytes:
        """A blob whose digest is right; raises Damaged."""
        data = self._read(digest)
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise Damaged(f"{digest} has another digest")
        return data

    def _read(self, digest: str) -> bytes:
        try:
            return Path(self._blobs, digest.partition(":")[2]).read_bytes()
        except OSError as error:
            raise Damaged(f"{digest}: {error}") from None

    @property
    def _blobs(self) -> str:
        return os.path.join(self.path, "blobs", "sha256")

    def manifest(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.blob(digest))
        return found

    def _named_by(self, digest: str) -> list[dict[str, Any]]:
        manifest = self.manifest(digest)
        return [*([manifest["config"]] if "config" in manifest else []), *manifest.get("layers", [])]

    def problems(self) -> str:
        """What of all that is listed is missing or damaged; nothing when all is whole."""
        try:
            for digest in self.manifests():
                for named in self._named_by(digest):
                    if len(self.blob(named["digest"])) != named["size"]:
                        return f"{named['digest']} has another size"
        except Damaged as damaged:
            return str(damaged)
        return ""

    def unnamed(self) -> list[str]:
        """Files among the blobs that nothing listed names."""
        named = set(self.manifests())
        named |= {one["digest"] for digest in self.manifests() for one in self._named_by(digest)}
        return sorted(name for name in os.listdir(self._blobs) if f"sha256:{name}" not in named)

    def packs(self, tag: str) -> list[str]:
        """The files of an image's packs."""
        layers = self.manifest(self.tags()[tag])["layers"][1:]
        return [os.path.join(self._blobs, layer["digest"].partition(":")[2]) for layer in layers]

    def referring(self, digest: str) -> list[bytes]:
        """The content of listed artifacts about a manifest."""
        about = [one for one in map(self.manifest, self.manifests()) if one.get("subject", {}).get("digest") == digest]
        return [self.blob(one["layers"][0]["digest"]) for one in about]

    def content(self, tag: str) -> str:
        """The sha256 of what a guest sees on the only disk of an image."""
        import zstandard

        manifest = self.manifest(self.tags()[tag])
        config = json.loads(self.blob(manifest["config"]["digest"]))["imageops"]
        index = self.blob(manifest["layers"][0]["digest"])
        (disk,) = config["disks"]
        packs = {layer["digest"]: self.blob(layer["digest"]) for layer in manifest["layers"][1:]}
        content = bytearray(-(-disk["size"] // _BLOCK) * _BLOCK)
        for entry in disk["segments"]:
            segment = index[entry["offset"] : entry["offset"] + entry["length"]]
            for number, pack, offset, length in _blocks(segment):
                place = (entry["number"] * _SEGMENT_BLOCKS + number) * _BLOCK
                frame = packs[pack][offset : offset + length]
                content[place : place + _BLOCK] = zstandard.ZstdDecompressor().decompress(frame)
        return hashlib.sha256(content[: disk["size"]]).hexdigest()


def _blocks(segment: bytes) -> list[tuple[int, str, int, int]]:
    """Number, pack, offset and length of each block of a segment."""
    magic, count, packs = struct.unpack_from("<8sII", segment)
    if magic != b"IMOPSEG1":
        raise Damaged("this is no segment")
    names = [f"sha256:{segment[16 + 32 * i : 48 + 32 * i].hex()}" for i in range(packs)]
    at = 16 + 32 * packs
    numbers = struct.unpack_from(f"<{count}H", segment, at)
    pack_of = struct.unpack_from(f"<{count}H", segment, at + 2 * count)
    offsets = struct.unpack_from(f"<{count}I", segment, at + 4 * count)
    lengths = struct.unpack_from(f"<{count}I", segment, at + 8 * count)
    return [(numbers[i], names[pack_of[i]], offsets[i], lengths[i]) for i in range(count)]


def sha256(path: str) -> str:
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()
