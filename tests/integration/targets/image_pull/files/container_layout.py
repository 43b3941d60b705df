# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes a containerDisk as builders of containers do, by the specification alone (OCI image specification 1.1): a base layer with an
older disk, and above it one that marks that as removed and brings another.

container_layout.py FOLDER OLDER DISK
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import sys
import tarfile
from typing import Any

_KIND = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def layer(members: dict[str, bytes]) -> bytes:
    """A tar with folders and files; a name that ends in / is a folder."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name.rstrip("/"))
            info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
            info.mode = 0o755 if name.endswith("/") else 0o644
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


class Layout:
    """An OCI image layout that is made at `folder`."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        os.makedirs(f"{folder}/blobs/sha256")

    def keep(self, data: bytes, kind: str) -> dict[str, Any]:
        """A blob; what a manifest says of it."""
        name = hashlib.sha256(data).hexdigest()
        with open(f"{self._folder}/blobs/sha256/{name}", "wb") as stream:
            stream.write(data)
        return {"mediaType": f"{_KIND}.{kind}", "digest": f"sha256:{name}", "size": len(data)}

    def finish(self, layers: list[bytes]) -> None:
        """Configuration, manifest and index of an image of these layers."""
        config = {
            "architecture": _ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]},
            "history": [{"created_by": "ADD base"}, {"created_by": "ADD disk"}],
        }
        kept = [self.keep(gzip.compress(one, 1), "layer.v1.tar+gzip") for one in layers]
        manifest = {
            "schemaVersion": 2,
            "mediaType": f"{_KIND}.manifest.v1+json",
            "config": self.keep(json.dumps(config).encode(), "config.v1+json"),
            "layers": kept,
        }
        found = self.keep(json.dumps(manifest).encode(), "manifest.v1+json")
        named = {**found, "annotations": {"org.opencontainers.image.ref.name": "made"}}
        self._write("index.json", {"schemaVersion": 2, "manifests": [named]})
        self._write("oci-layout", {"imageLayoutVersion": "1.0.0"})

    def _write(self, name: str, told: dict[str, Any]) -> None:
        with open(f"{self._folder}/{name}", "w", encoding="utf-8") as stream:
            json.dump(told, stream)


def main() -> None:
    folder, older, disk = sys.argv[1:]
    with open(older, "rb") as one, open(disk, "rb") as other:
        before, after = one.read(), other.read()
    base = {"etc/": b"", "etc/os-release": b"ID=made\n", "disk/": b"", "disk/older.qcow2": before}
    above = {"disk/": b"", "disk/.wh.older.qcow2": b"", "disk/disk.qcow2": after}
    Layout(folder).finish([layer(base), layer(above)])


if __name__ == "__main__":
    main()
