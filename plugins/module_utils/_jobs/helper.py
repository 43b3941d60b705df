# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host helper: a zipapp of our own module_utils that outlives the module run.

AnsiballZ removes a module's payload when the module ends, so what must go on runs from
`<state dir>/helper/<sha256>.pyz`. It holds the entry module and, found from the AST, all that this imports.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import io
import os
import zipfile
from collections.abc import Iterator

from .._errors import ImageOpsError
from .._files import state_dir, write_bytes

_PACKAGE = __name__.rsplit(".", 2)[0]
_EPOCH = (2026, 1, 1, 0, 0, 0)


def helper_program(entry: str) -> str:
    """Path of the helper whose main() is in the module `entry`; written when it is missing."""
    data = _zipapp(entry, sources(entry))
    path = os.path.join(state_dir("helper"), f"{hashlib.sha256(data).hexdigest()}.pyz")
    if not os.path.exists(path):
        write_bytes(path, data, mode=0o700)
    return path


def sources(entry: str) -> dict[str, str]:
    """Source text by module name: `entry` and every module of ours that it needs."""
    found: dict[str, str] = {}
    waiting = [entry]
    while waiting:
        name = waiting.pop()
        if name in found or not name.startswith(_PACKAGE + "."):
            continue
        found[name] = _source(name)
        waiting.extend(_imports(name, found[name]))
    return found


def _source(name: str) -> str:
    spec = importlib.util.find_spec(name)
    text = spec.loader.get_source(name) if spec and spec.loader and hasattr(spec.loader, "get_source") else None
    if text is None:
        raise ImageOpsError(f"The source of {name} can't be read, so the host helper can't be written.")
    return str(text)


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _imports(name: str, text: str) -> Iterator[str]:
    """Names of modules that `from . import x` and `from .x import y` in `text` need, packages included."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = name.rsplit(".", node.level)[0]
            target = f"{base}.{node.module}" if node.module else base
            if node.module:
                yield target
            for alias in node.names:
                if _is_module(f"{target}.{alias.name}"):
                    yield f"{target}.{alias.name}"


def _zipapp(entry: str, texts: dict[str, str]) -> bytes:
    """A zip with fixed dates, so that equal sources give equal bytes."""
    files = {"__main__.py": f"from {entry} import main\nraise SystemExit(main())\n"}
    for name in texts:
        parts = name.split(".")
        files.update({"/".join([*parts[:depth], "__init__.py"]): "" for depth in range(1, len(parts))})
    for name, text in texts.items():
        path = name.replace(".", "/")
        is_package = f"{path}/__init__.py" in files
        files[f"{path}/__init__.py" if is_package else f"{path}.py"] = text
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(files):
            archive.writestr(zipfile.ZipInfo(path, _EPOCH), files[path])
    return buffer.getvalue()
