# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a chain needs to become what is declared: one act, found by comparing; planner and job decide alike."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import Conflict, NotFound, Unsupported
from .._files import fingerprint
from .._formats.chain import Link
from .._qemu.image import Image
from .._records import is_identity, read_record, untouched
from .disk_chain_layers import read_backing, read_chain
from .disk_chain_request import Backing, ChainRequest
from .inspection import Inspected, inspect

# Nothing; data come up and the header changes; only the header changes; a new overlay is written; data go down; layers go.
NOTHING, COPY_UP, HEADER, ANEW, COMMIT, TIDY = "nothing", "copy-up", "header", "anew", "commit", "tidy"
COMMITTED = "commit"
_COMMIT_FORMATS = ("qcow2", "raw")


@dataclass(frozen=True)
class Act:
    """What to do with `layers`. `base` is the number of the layer that stays below the top, or takes what is above it.

    `below` is the backing file that the top gets, `name` how its header names it; `leftover` are the files that a commit has made
    worthless.
    """

    kind: str
    layers: tuple[Link, ...]
    base: int | None = None
    below: Image | None = None
    name: str = ""
    leftover: tuple[str, ...] = ()
    new_base: Inspected | None = None


def decide(request: ChainRequest) -> Act:
    """Look at the chain and compare; raises what speaks against changing it."""
    if request.into:
        return _committing(request, request.into)
    layers = tuple(read_chain(request))
    return _resting(request, request.backing, layers) if request.backing else _shortening(request, layers)


def _shortening(request: ChainRequest, layers: tuple[Link, ...]) -> Act:
    """The lowest files stay as they are, and what lies between them and the top goes into the top."""
    depth = request.depth or 1
    if len(layers) <= depth:
        return Act(NOTHING, layers)
    if request.rewrite:
        _require_no_bitmaps(request, layers)
        return Act(ANEW, layers)
    base = len(layers) - depth + 1
    return _onto(request, layers, base if base < len(layers) else None, relative=None)


def _onto(request: ChainRequest, layers: tuple[Link, ...], base: int | None, *, relative: bool | None) -> Act:
    if base is None:
        return Act(COPY_UP, layers)
    below = Image(layers[base].real_path, layers[base].facts.format)
    return Act(COPY_UP, layers, base=base, below=below, name=_name(below.path, request.path, relative))


def _name(path: str, overlay: str, relative: bool | None) -> str:
    return os.path.relpath(path, os.path.dirname(overlay)) if relative else path


def _resting(request: ChainRequest, declared: Backing, layers: tuple[Link, ...]) -> Act:
    """The top rests on another file."""
    wanted = read_backing(declared, request.path)
    below = Image(wanted.path, wanted.format)
    name = _name(below.path, request.path, declared.relative)
    now = layers[0].facts.backing
    files = [layer.real_path for layer in layers]
    if now is not None and len(files) > 1 and files[1] == below.path:
        return _same_file(request, declared, layers, wanted, name)
    if declared.unsafe:
        return Act(HEADER, layers, below=below, name=name, new_base=wanted)
    if below.path in files:
        return _onto(request, layers, files.index(below.path), relative=declared.relative)
    _require_no_bitmaps(request, layers)
    return Act(ANEW, layers, below=below, name=name, new_base=wanted)


def _require_no_bitmaps(request: ChainRequest, layers: Sequence[Link]) -> None:
    names = ", ".join(one.name for one in layers[0].facts.bitmaps[:5])
    if names:
        raise Unsupported(
            f"path: {request.path} holds dirty bitmaps ({names}), which a new file would not have; flatten it in place with "
            f"'depth: 1', or remove them first."
        )


def _same_file(request: ChainRequest, declared: Backing, layers: tuple[Link, ...], wanted: Inspected, name: str) -> Act:
    """The header already names the file; its format or the way of naming it may be wrong."""
    now, below = layers[0].facts.backing, Image(wanted.path, wanted.format)
    recorded = now.format if now else None
    other_name = declared.relative is not None and now is not None and now.name != name
    contradicts = recorded is not None and Image(below.path, recorded).driver != below.driver
    if contradicts and not declared.unsafe:
        raise Conflict(
            f"backing.format: {request.path} records {below.path} as {recorded}, declared is {below.format}; give 'unsafe: true' if "
            f"the record is wrong."
        )
    if recorded is not None and not contradicts and not other_name:
        return Act(NOTHING, layers)
    kept = name if other_name or now is None else now.name
    # Read by another format, the image has another content.
    return Act(HEADER, layers, base=1, below=below, name=kept, new_base=wanted if contradicts else None)


def _committing(request: ChainRequest, into: str) -> Act:
    if fingerprint(request.path) is None:
        return _committed(request, into)
    layers = tuple(read_chain(request))
    files = [layer.real_path for layer in layers]
    if into not in files:
        raise Conflict(
            f"commit.into: {into} is not below {request.path}; its chain is {' -> '.join(files)}. Name one of the lower files."
        )
    base = files.index(into)
    if base == 1 and request.keep and _is_empty(request, into):
        return _tidying(request, into, layers)
    _check_commit(request, layers, base)
    return Act(COMMIT, layers, base=base, leftover=tuple(files[:base]))


def _is_empty(request: ChainRequest, into: str) -> bool:
    """Whether nothing was written to the overlay since it was committed."""
    record = read_record(request.path)
    emptied = record is not None and record.operation == COMMITTED and record.options.get("backing") == into
    return emptied and untouched(request.path, record)


def _check_commit(request: ChainRequest, layers: Sequence[Link], base: int) -> None:
    top, target = layers[0], layers[base]
    if target.facts.format not in _COMMIT_FORMATS:
        raise Unsupported(
            f"commit.into: {target.real_path} is a {target.facts.format} image, and only qcow2 and raw ones are committed into; make "
            f"a new image of {request.path} with imageops.fleet.disk_convert."
        )
    if target.facts.snapshots:
        raise Unsupported(
            f"commit.into: {target.real_path} holds internal snapshots, which would take the place of the new content when they are "
            f"reverted to; delete them first (imageops.fleet.disk_snapshot)."
        )
    if top.facts.virtual_size < target.facts.virtual_size:
        raise Conflict(
            f"commit.into: {target.real_path} has {target.facts.virtual_size} bytes and {top.real_path} only "
            f"{top.facts.virtual_size}, so the end of the old disk would stay behind the new content; grow the overlay with "
            f"imageops.fleet.disk first."
        )


def _committed(request: ChainRequest, into: str) -> Act:
    """The overlay is gone: by a commit of ours, which may have left other files, or it never was."""
    record = read_record(into) if fingerprint(into) else None
    if record is None or record.operation != COMMITTED or record.source.get("path") != request.path:
        raise NotFound(f"path: {request.path} does not exist, and {into} has no record that it was committed there.")
    if request.keep:
        raise NotFound(f"path: {request.path} was committed into {into} and removed, so it can't be kept any more.")
    return _tidying(
        request, into, inspect(into, declared=record.format, backing=request.allowed, option="commit.into").chain
    )


def _tidying(request: ChainRequest, into: str, layers: tuple[Link, ...]) -> Act:
    """What was committed; files that an interrupted run left above `into` still go."""
    record = read_record(into)
    ours = record is not None and record.source.get("path") == request.path and written_by_us(into)
    found = record.source.get("layers") if record and ours else None
    left = tuple(one["path"] for one in found if is_identity(one) and is_still(one)) if isinstance(found, list) else ()
    return Act(TIDY if left else NOTHING, layers, leftover=left)


def written_by_us(path: str) -> bool:
    """Whether the record on a file may name files to remove: nobody else can have written it, no guest's QEMU either."""
    found = os.stat(path)
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def is_still(found: dict[str, Any]) -> bool:
    """Whether a file is what it was when it was committed."""
    now = fingerprint(found["path"])
    return now is not None and now.as_dict() == {key: found.get(key) for key in now.as_dict()}
