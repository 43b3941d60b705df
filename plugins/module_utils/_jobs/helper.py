# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host helper: a zipapp of our own module_utils that outlives the module run.

AnsiballZ removes a module's payload when the module ends, so what must go on runs from
`<state dir>/helper/<sha256>.pyz`. It holds the entry module and, found from their text, all that this imports. Where the payload
is known by its checksums (payload.py) a helper that was made of it before is found by them, and no text is read.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import marshal
import os
import re
import sys
import zipfile
from collections.abc import Iterator

from .._errors import ImageOpsError
from .._files import state_dir, write_bytes
from .payload import PAYLOAD

_PACKAGE = __name__.rsplit(".", 2)[0]
_EPOCH = (2026, 1, 1, 0, 0, 0)
_RELATIVE = re.compile(r"^[ \t]*from[ \t]+(\.+)([\w.]*)[ \t]+import[ \t]+(\([^)]*\)|[^\n#]+)", re.MULTILINE)
_NAME = re.compile(r"(\w+)(?:\s+as\s+\w+)?")
# A pyc that is never compared with its source (PEP 552): both are in one file that never changes.
_UNCHECKED = (1).to_bytes(4, "little")


def helper_program(entry: str) -> str:
    """Path of the helper whose main() is in the module `entry`; written when it is missing."""
    folder = state_dir("helper")
    key = PAYLOAD.key(entry) if PAYLOAD.files else _key_of_texts(entry)
    path = os.path.join(folder, f"{key}.pyz")
    if not os.path.exists(path):
        write_bytes(path, _zipapp(entry, sources(entry)), mode=0o700)
    return path


def _key_of_texts(entry: str) -> str:
    """What tells the helper from others where our files lie on the disk as they are."""
    told = repr((entry, sys.implementation.cache_tag, sorted(sources(entry).items())))
    return hashlib.sha256(told.encode()).hexdigest()


def sources(entry: str) -> dict[str, str]:
    """Source text by module name: `entry` and every module of ours that it needs."""
    found: dict[str, str] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _source(name)
            waiting.extend(_imports(name, found[name]))
    return found


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    text = spec.loader.get_source(name) if spec and spec.loader and hasattr(spec.loader, "get_source") else None
    if text is None:
        raise ImageOpsError(f"The source of {name} can't be read, so the host helper can't be written.")
    return str(text)


def _imports(name: str, text: str) -> Iterator[str]:
    """Names of modules of ours that `text` imports; all our imports are relative, and start a line."""
    for dots, module, names in _RELATIVE.findall(text):
        base = name.rsplit(".", len(dots))[0]
        target = f"{base}.{module}" if module else base
        if _is_package(target):
            yield from (f"{target}.{found}" for found in _NAME.findall(names))
        else:
            yield target


def _is_package(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.submodule_search_locations is not None


def _zipapp(entry: str, texts: dict[str, str]) -> bytes:
    """A zip of sources, and of their compiled forms, so that a helper starts in half of the time."""
    files = {"__main__.py": f"from {entry} import main\nraise SystemExit(main())\n"}
    for name, text in texts.items():
        parts = name.split(".")
        files.update({"/".join([*parts[:depth], "__init__.py"]): "" for depth in range(1, len(parts))})
        files[f"{'/'.join(parts)}.py"] = text
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, text in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), text)
            archive.writestr(zipfile.ZipInfo(f"{path}c", _EPOCH), _compiled(path, text))
    return buffer.getvalue()


def _compiled(path: str, text: str) -> bytes:
    code = compile(text, path, "exec", dont_inherit=True)
    check = importlib.util.source_hash(text.encode())
    return importlib.util.MAGIC_NUMBER + _UNCHECKED + check + marshal.dumps(code)
