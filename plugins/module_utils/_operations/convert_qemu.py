# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine qemu-img: every format and option, under the job's lock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Callable

from .._commands import Commands
from .._errors import EngineError
from .._qemu.encryption import NOT_MEASURED, encryption_arguments
from .._qemu.image import QemuImg, convert_arguments
from .._qemu.node import opening
from .._qemu.options import engine_arguments
from .._qemu.percent import run_with_percent
from .convert_images import told_clearly
from .convert_work import Work

_MOST_TRIES = 20


def write(work: Work) -> None:
    """Convert; a target larger than the source is made first and then filled."""
    params, size, target = work.params, work.source.virtual_size, work.target
    options = [
        *engine_arguments(params["format"], params["options"]),
        *encryption_arguments(params["format"], params["encryption"] or {}),
    ]
    padded = params["options"].get("size_rule") == "mib" and work.virtual_size != size
    if padded:
        QemuImg(Commands()).create(target, size=work.virtual_size, options=options, pass_fds=(work.lock,))
    image = work.source_image
    with opening(image, target) as opened, told_clearly(image, target.path):
        argv = convert_arguments(
            image,
            target,
            options=() if padded else options,
            compressed=params["compress"],
            rate_limit=params["bandwidth"],
            sparse_size=params["sparse_size"],
            existing=padded or (work.place.existing and params["format"] == "raw"),
            zeroed=padded,
            opened=None if image.plain and target.plain else opened,
        )
        work.progress.phase("convert", total=size)
        _until_measured(lambda: _run(work, argv, pass_fds=(work.lock, *opened.descriptors)))


def _run(work: Work, argv: Sequence[str], *, pass_fds: Sequence[int]) -> None:
    size = work.source.virtual_size
    run_with_percent(argv, lambda percent: work.progress.update(int(size * percent / 100)), pass_fds=pass_fds)


def _until_measured(run: Callable[[], None]) -> None:
    """Try again when QEMU could not measure how fast this machine derives keys; it has written nothing then."""
    for _try in range(_MOST_TRIES - 1):
        try:
            run()
        except EngineError as error:
            if NOT_MEASURED not in str(error.details.get("stderr")):
                raise
        else:
            return
    run()


def overlay(work: Work) -> None:
    """Make an image that holds nothing and rests on the source."""
    options = engine_arguments(work.params["format"], work.params["options"])
    work.progress.phase("convert")
    backing = work.source_image
    QemuImg(Commands()).create(
        work.target,
        size=work.virtual_size,
        options=options,
        backing=type(backing)(backing.path, backing.format),
        pass_fds=(work.lock,),
    )
