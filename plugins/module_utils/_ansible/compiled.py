# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our own code in compiled form, kept on the host.

Ansible sends source text and Python compiles it anew in each run, which takes longer than all else that a run without
changes does. The first run that isn't in check mode keeps the compiled forms beside the host helpers; later runs of the same
code load them. They are known by the checksums of the files that were sent, so other code never meets them.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.util
import marshal
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import CodeType, ModuleType
from typing import Any

from .._files import state_dir, state_top, write_bytes
from .._jobs.payload import PAYLOAD


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
        self._path = ""

    def use(self) -> None:
        """Load from now on what an earlier run kept."""
        if not PAYLOAD.files:
            return
        self._path = os.path.join(state_top(), "helper", f"{PAYLOAD.key('compiled')}.compiled")
        with contextlib.suppress(OSError, ValueError, EOFError, TypeError), open(self._path, "rb") as stream:
            status = os.fstat(stream.fileno())
            if status.st_uid == os.geteuid() and not status.st_mode & 0o022:
                sys.meta_path.insert(0, _Finder(marshal.load(stream)))

    def keep(self) -> None:
        """Have the compiled forms for later runs; a folder that can't be written is no reason to fail."""
        if not self._path or os.path.exists(self._path):
            return
        codes = {}
        for path in sorted(PAYLOAD.files):
            text = PAYLOAD.loader.get_data(os.path.join(PAYLOAD.archive, path))
            # In two steps, so that a run takes apart only what it imports.
            code = marshal.dumps(compile(text, path, "exec", dont_inherit=True))
            codes[path[: -len(".py")].replace("/", ".")] = code
        with contextlib.suppress(OSError):
            state_dir("helper")
            write_bytes(self._path, marshal.dumps(codes), durable=False)


COMPILED = Compiled()
