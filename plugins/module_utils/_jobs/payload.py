# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The archive that Ansible sent: which of our files are in it, and what tells it from others.

Its directory holds a checksum of every file, so nothing has to be read to know whether something was made of the same code before.
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import zipimport
from typing import Any

_FOLDER = __name__.rsplit(".", 2)[0].replace(".", "/")
# Where a zip importer's directory has the CRC-32 of an entry.
_CHECKSUM = 7


class Payload:
    """The archive that this process runs from; without one `files` is empty. `loader` reads it."""

    def __init__(self) -> None:
        self.loader: Any = getattr(__spec__, "loader", None)
        self.archive: str = getattr(self.loader, "archive", "")
        # Private to zipimport, and the same in every Python that we know; without it there is nothing to gain.
        read: dict[str, dict[str, Any]] = getattr(zipimport, "_zip_directory_cache", {})
        # Ansible adds a file of its own with a folder's name in it, so only ours are looked at.
        self.files: dict[str, int] = {
            name: entry[_CHECKSUM]
            for name, entry in read.get(self.archive, {}).items()
            if name.startswith(f"{_FOLDER}/") and name.endswith(".py") and not name.endswith("__init__.py")
        }

    def key(self, use: str) -> str:
        """What names a thing that was made of these files by this Python for `use`."""
        sums = repr(sorted(self.files.items()))
        told = f"{use}{sys.implementation.cache_tag}{importlib.util.MAGIC_NUMBER!r}{sums}"
        return hashlib.sha256(told.encode()).hexdigest()


PAYLOAD = Payload()
