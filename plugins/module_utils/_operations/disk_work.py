# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps that change disk images: create, resize, remove."""

from __future__ import annotations

import os
from dataclasses import replace

from .._errors import Conflict, EngineError
from .._faults import fault_point
from .._files import fingerprint, partial_path, remove, sync_file
from .._formats.chain import inspect_chain
from .._formats.safety import verdict
from .._locks import held_descriptors
from .._qemu.image import Image, QemuImg
from .._qemu.image_locks import kept_from_engines
from .._records import Record, drop_record, publish_with_record, read_record, tidy_sidecars, untouched, write_record
from .disk_request import DiskRequest
from .extent_files import note, recorded_extents, tidy
from .operation import Tools
from .ownership import apply_to_new


def create(request: DiskRequest, size: int, tools: Tools) -> None:
    """Make the image under its hidden name, read it back, and give it its name."""
    hidden = Image(partial_path(request.path), request.format)
    base = Image(request.base.path, request.base.format) if request.base else None
    remove(hidden.path)
    try:
        # Nobody else reads it before it has its owner and mode.
        os.close(os.open(hidden.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        QemuImg(tools.commands).create(
            hidden, size=size, options=request.engine_options, backing=base, pass_fds=held_descriptors()
        )
        _verify(request, hidden, size)
        apply_to_new(hidden.path, **request.ownership)
        if fingerprint(request.path) is not None:
            raise Conflict(f"path: {request.path} was made by somebody else in the meantime; it was left as it is.")
        publish_with_record(hidden.path, request.path, _record(request, size, tools))
    finally:
        remove(hidden.path)


def _verify(request: DiskRequest, hidden: Image, size: int) -> None:
    chain = inspect_chain(hidden.path, declared=hidden.format)
    allowed = request.base.files if request.base else ()
    wrong = [found.message for _path, found in verdict(chain, allowed_backing=allowed).refusals]
    if chain[0].facts.virtual_size != size:
        wrong.append(f"its virtual size is {chain[0].facts.virtual_size} bytes, wanted are {size}.")
    if wrong:
        raise EngineError(
            f"qemu-img made something else than {request.path} shall be, it was thrown away: {' '.join(wrong)}"
        )


def _record(request: DiskRequest, size: int, tools: Tools) -> Record:
    below = {"backing": request.base.path, "backing_format": request.base.format} if request.base else {}
    return Record(
        operation="overlay" if request.base else "create",
        format=request.format,
        virtual_size=size,
        options={**request.options, **below},
        tool=f"imageops.fleet {tools.version}",
    )


def resize(request: DiskRequest, size: int, shrink: bool, tools: Tools) -> None:
    """Change the size in place, and let a record that was true stay true."""
    record = read_record(request.path)
    mine = untouched(request.path, record)
    QemuImg(tools.commands).resize(request.image, size=size, shrink=shrink, pass_fds=held_descriptors())
    sync_file(request.path)
    if record is not None and mine:
        write_record(request.path, replace(record, virtual_size=size))


def unlink(path: str) -> None:
    """Remove the image and its record while no engine can open it, then the extents that it had."""
    with kept_from_engines(path):
        if recorded_extents(path):
            note(path)
            try:
                fault_point("disk:after-note")
                remove(path)
                fault_point("disk:before-extents")
                tidy_sidecars(path)
            finally:
                # An error leaves no note behind; extents that a descriptor still names stay.
                tidy(path)
        else:
            drop_record(path)
            remove(path)
    tidy(path)
