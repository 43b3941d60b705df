# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files that a query of disk images means: one path is that file, a folder all regular files in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

from .._errors import InvalidOption
from .operation import Tools

# Marks an item that was found in a folder: it may be gone a moment later.
LISTED = "_listed"
# Says of a folder below the named one why its files are not known.
UNREAD = "_unread"
# Files of ours that are no images: half-written ones and records (see _files.partial_path).
_OURS = ".imageops-partial"


def files_of(params: dict[str, Any], tools: Tools) -> Iterable[dict[str, Any]]:
    """One item per file, sorted by path; anything but a folder is itself."""
    path = absolute(params["path"])
    if not os.path.isdir(path):
        return [params]
    most = params["limit"]
    if most < 1:
        raise InvalidOption(f"limit: {most} is no number of files; give one from 1 on.")
    found: list[tuple[str, str]] = []
    for listed in _files(path, recurse=params["recurse"]):
        found.append(listed)
        if len(found) > most:
            raise InvalidOption(
                f"path: the folder {path} holds more than {most} files; name a smaller one, or raise limit."
            )
    return ({**params, "path": name, LISTED: True, UNREAD: why} for name, why in sorted(found))


def absolute(path: str | None) -> str:
    """The path without dots; links stay, because backing names are relative to the name that is used."""
    if not path or "\0" in path or not os.path.isabs(path):
        raise InvalidOption(f"path: '{path or ''}' is not an absolute path; give one that starts with a slash.")
    return os.path.abspath(path)


def _files(top: str, *, recurse: bool) -> Iterator[tuple[str, str]]:
    """Regular files; links lead elsewhere, or to a file that is listed itself. Folders that can't be read, each with the reason."""
    folders = [top]
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.is_file(follow_symlinks=False):
                        if not (entry.name.startswith(".") and _OURS in entry.name):
                            yield entry.path, ""
                    elif recurse and entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
        except OSError as error:
            if folder == top:
                raise
            # One that is gone by now holds nothing.
            if not isinstance(error, FileNotFoundError):
                yield folder, str(error.strerror)
