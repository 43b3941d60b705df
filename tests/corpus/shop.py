# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the images of the corpus are made: each in a folder of its own, from few images of qemu-img's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Callable

from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    convert,
    create_encrypted,
    disk,
)

# Stands in the file that attacks name, and must never be seen again.
CANARY = "do-not-show-this-to-anybody-7f1c"


class Shop:
    """Makes images once and keeps them; `folder` is where the image that is being made belongs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = root
        self.canary = root / "secret.txt"
        self.canary.write_text((CANARY + "\n") * 4096)
        self._bases = root / "bases"
        self._bases.mkdir()
        self._made: dict[str, Path] = {}

    def build(self, name: str, make: Callable[[Shop], Path]) -> Path:
        """The image of that name; one that was made before is the same file."""
        if name not in self._made:
            self.folder = self.root / name
            self.folder.mkdir(exist_ok=True)
            self._made[name] = make(self)
        return self._made[name]

    def image(self, form: str, *options: str, size: int = 3 * MIB, compress: bool = False, name: str = "image") -> Path:
        """A copy of an image of qemu-img's with data in every MiB and at its end."""
        label = "-".join((form, *options, str(size), *(["packed"] if compress else []))).replace("/", "_")
        base = self._bases / label
        if not base.exists():
            source = self.disk(size)
            if form == "raw":
                shutil.copy(source, base)
            else:
                convert(source, base, form, *options, compress=compress)
        return self._copy(base, name)

    def disk(self, size: int) -> Path:
        """The raw disk that images of that size are made from."""
        path = self._bases / f"disk-{size}"
        return path if path.exists() else disk(path, size)

    def encrypted(self, form: str, *options: str, name: str = "image") -> Path:
        """A copy of an empty encrypted image; its key is derived in as few turns as can be."""
        base = self._bases / "-".join(("encrypted", form, *options))
        if not base.exists():
            key = "key-secret=s" if form == "luks" else "encrypt.key-secret=s"
            create_encrypted(base, form, "1M", key, *options)
        return self._copy(base, name)

    def file(self, data: bytes, *, size: int = 0, name: str = "image") -> Path:
        """A file of these bytes, and of zeros up to that size."""
        path = self.folder / name
        with path.open("wb") as stream:
            stream.write(data)
            stream.truncate(max(size, len(data)))
        return path

    def _copy(self, base: Path, name: str) -> Path:
        path = self.folder / name
        shutil.copy(base, path)
        return path
