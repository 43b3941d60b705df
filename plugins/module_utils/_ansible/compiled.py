# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own code in compiled form, kept on the host.

Ansible sends source text and Python compiles it anew in each run, which takes longer than all else that a run without
changes does. A run that changed something keeps the compiled forms beside the host helpers; later runs of the same code
load them. They are known by the checksums of the files that were sent, so other code never meets them.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.abc
import importlib.util
import marshal
import os
import sys
import zipimport
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import Any

from .._files import state_dir, state_top, write_bytes

_PACKAGE = __name__.rsplit(".", 2)[0]
_FOLDER = _PACKAGE.replace(".", "/")
# Where a zip importer's directory has the CRC-32 of an entry.
_CHECKSUM = 7


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Finds our modules by their compiled forms; their source is where it was."""

    def __init__(self, codes: dict[str, bytes]) -> None:
        self._codes = codes

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in self._codes else None

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = marshal.loads(self._codes[fullname])
        return code

    def is_package(self, fullname: str) -> bool:
        return False

    def get_source(self, fullname: str) -> str | None:
        """The text that was sent; the host helper is made of it."""
        spec = PathFinder.find_spec(fullname, sys.modules[fullname.rpartition(".")[0]].__path__)
        loader: Any = spec.loader if spec else None
        text: str | None = loader.get_source(fullname)
        return text


class Compiled:
    """The compiled forms of the payload that this process runs from; outside of a payload it does nothing."""

    def __init__(self) -> None:
        self._loader: Any = getattr(__spec__, "loader", None)
        self._archive: str = getattr(self._loader, "archive", "")
        # Private to zipimport, and the same in every Python that we know; without it there is nothing to gain.
        read: dict[str, dict[str, Any]] = getattr(zipimport, "_zip_directory_cache", {})
        # Ansible adds a file of its own with a folder's name in it, so only ours are looked at.
        self._files = {
            name: entry[_CHECKSUM]
            for name, entry in read.get(self._archive, {}).items()
            if name.startswith(f"{_FOLDER}/") and name.endswith(".py") and not name.endswith("__init__.py")
        }
        self._path = ""

    def use(self) -> None:
        """Load from now on what an earlier run kept."""
        if not self._files:
            return
        sums = repr(sorted(self._files.items()))
        key = hashlib.sha256(f"{sys.implementation.cache_tag}{importlib.util.MAGIC_NUMBER!r}{sums}".encode())
        self._path = os.path.join(state_top(), "helper", f"{key.hexdigest()}.compiled")
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError), open(self._path, "rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
                sys.meta_path.insert(0, _Finder(marshal.load(stream)))

    def keep(self) -> None:
        """Have the compiled forms for later runs; a folder that can't be written is no reason to fail."""
        if not self._path or os.path.exists(self._path):
            return
        codes = {}
        for path in sorted(self._files):
            text = self._loader.get_data(os.path.join(self._archive, path))
            # In two steps, so that a run takes apart only what it imports.
            code = marshal.dumps(compile(text, path, "exec", dont_inherit=True))
            codes[path[: -len(".py")].replace("/", ".")] = code
        with contextlib.suppress(OSError):
            state_dir("helper")
            write_bytes(self._path, marshal.dumps(codes), durable=False)


COMPILED = Compiled()
COMPILED.use()
