# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is at the destination of an export, and what we know of its making."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

from .._files import is_partial
from .._records import Record, files_beside, read_record, untouched
from .export_state import KIND


@dataclass(frozen=True)
class Found:
    """`main` is the file that carries the record, `files` all that belong to the export; `clean` when nothing wrote to them since."""

    there: bool
    main: str = ""
    record: Record | None = None
    clean: bool = False
    files: tuple[str, ...] = ()

    @property
    def told(self) -> dict[str, Any]:
        """What results tell of it."""
        told = self.record.options.get("told") if self.record else None
        return {"files": told["files"]} if isinstance(told, dict) and isinstance(told.get("files"), list) else {}


def find(dest: str) -> Found:
    """What we know of what is at `dest`."""
    if not os.path.lexists(dest):
        return Found(False)
    if not os.path.isdir(dest):
        record = read_record(dest)
        return Found(True, dest, record, untouched(dest, record), (dest,))
    return _folder(dest)


def _folder(dest: str) -> Found:
    """A folder is ours when one of its files has a record that names all others."""
    names = [name for name in sorted(os.listdir(dest)) if not is_partial(name)]
    for name in names:
        path = os.path.join(dest, name)
        record = read_record(path) if os.path.isfile(path) and not os.path.islink(path) else None
        if record is not None and record.operation == KIND:
            known = {path, *files_beside(path, record)}
            ours = {os.path.join(dest, other) for other in names} == known
            return Found(True, path, record if ours else None, ours and untouched(path, record), tuple(sorted(known)))
    return Found(bool(names), files=tuple(os.path.join(dest, name) for name in names))


def plain(value: Any) -> Any:
    """As JSON gives it back."""
    return json.loads(json.dumps(value))
