# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a store refuses that only reads."""

from __future__ import annotations

import contextlib

from .._catalog.digest import Descriptor
from .._errors import Unsupported


class ReadOnly:
    """Takes nothing and removes nothing."""

    where: str
    writable = False

    def _refused(self) -> Unsupported:
        return Unsupported(
            f"{self.where} is shown by a web server, so it is read only; name the catalog itself, as dir:/PATH or HOST[:PORT]/NAME."
        )

    def write_blob(self, data: bytes, digest: str) -> None:
        raise self._refused()

    def write_blob_file(self, path: str, digest: str, size: int) -> None:
        raise self._refused()

    def write_manifest(
        self, data: bytes, media_type: str, *, tag: str = "", instead_of: str | None = None
    ) -> Descriptor:
        raise self._refused()

    def remove_tag(self, tag: str) -> None:
        raise self._refused()

    def remove_manifest(self, digest: str) -> None:
        raise self._refused()

    def publishing(self) -> contextlib.AbstractContextManager[object]:
        raise self._refused()

    def pruning(self) -> contextlib.AbstractContextManager[object]:
        raise self._refused()

    def collect_garbage(self, *, grace: float, remove: bool = True) -> int:
        raise self._refused()
