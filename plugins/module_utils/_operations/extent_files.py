# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The extents of an image of several files: their names, and what stays of them when a run dies.

The names are new for each image, so the old and the new extents lie beside each other until the descriptor, the one file
with a lasting name, is renamed. Before the first of them has its name, a note beside the descriptor tells which files may
have to go. An extent of ours that no descriptor in its folder names any more is nobody's, and `tidy` removes it.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Sequence

from .._files import partial_path, remove, sync_folder, write_bytes
from .._records import files_beside, read_own, read_record
from .image_layers import Layers, files_of

# What QEMU puts behind the descriptor's own name (block/vmdk.c), behind eight digits of ours.
_OURS = re.compile(r"-[0-9a-f]{8}-(?:flat|[fs]\d{3,4})\.vmdk\Z")
_PLAIN = re.compile(r"[^A-Za-z0-9._-]")
_MOST_STEM = 64
_NOTE, _WORK = "-extents.json", "-extents"


def work_folder(path: str) -> str:
    """The hidden folder in which an engine writes the files of the image `path`."""
    return partial_path(path, suffix=_WORK)


def _note_of(path: str) -> str:
    return partial_path(path, suffix=_NOTE)


def new_stem(path: str) -> str:
    """What the names of the extents of `path` shall begin with: like its own name, and never used before."""
    name = os.path.basename(path)
    stem = _PLAIN.sub("_", name[:-5] if name.lower().endswith(".vmdk") else name)[:_MOST_STEM]
    while True:
        chosen = f"{stem}-{secrets.token_hex(4)}"
        if not any(os.path.basename(one).startswith(chosen) for one in files_of(os.path.dirname(path))):
            return chosen


def recorded_extents(path: str) -> list[str]:
    """The paths of the extents that our record on `path` names and that have names of ours."""
    return [one for one in files_beside(path, read_record(path)) if _OURS.search(one)]


def note(path: str, *, stem: str = "") -> None:
    """Write down which files may have to go: the extents that `path` has, and those whose names begin with `stem`."""
    told = {"stem": stem, "extents": [os.path.basename(one) for one in recorded_extents(path)]}
    write_bytes(_note_of(path), json.dumps(told).encode(), alone=True)


def is_untidy(path: str) -> bool:
    """Whether an interrupted run left something of an image of several files."""
    return os.path.lexists(_note_of(path)) or os.path.lexists(work_folder(path))


def tidy(path: str) -> None:
    """Remove the noted extents that no descriptor names, unfinished files, and at last the note."""
    if not is_untidy(path):
        return
    work, folder = work_folder(path), os.path.dirname(path)
    if os.path.lexists(work):
        shutil.rmtree(work)
    stem, names = _noted(path)
    mine = [
        one
        for one in files_of(folder)
        if _OURS.search(one) and (os.path.basename(one) in names or (stem and os.path.basename(one).startswith(stem)))
    ]
    named = _named(folder) if mine else set()
    for one in mine:
        if os.path.realpath(one) not in named:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(one)
    sync_folder(path)
    remove(_note_of(path))


def _noted(path: str) -> tuple[str, Sequence[str]]:
    try:
        told = json.loads(read_own(_note_of(path)))
        return str(told["stem"]), [str(name) for name in told["extents"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return "", ()


def _named(folder: str) -> set[str]:
    """Every file that a descriptor in the folder names."""
    layers = Layers()
    return {one for name in files_of(folder) for one in layers.needs(name).beside}
