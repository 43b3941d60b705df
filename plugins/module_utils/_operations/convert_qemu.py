# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine qemu-img: every format and option, under the job's lock."""

from __future__ import annotations

from .._commands import Commands
from .._qemu.image import Image, QemuImg, convert_arguments
from .._qemu.options import engine_arguments
from .._qemu.percent import run_with_percent
from .convert_work import Work


def write(work: Work) -> None:
    """Convert; a target larger than the source is made first and then filled."""
    params, size = work.params, work.source.virtual_size
    options = engine_arguments(params["format"], params["options"])
    padded = params["options"].get("size_rule") == "mib" and work.virtual_size != size
    if padded:
        QemuImg(Commands()).create(work.target, size=work.virtual_size, options=options)
    argv = convert_arguments(
        Image(work.source.path, work.source.format),
        work.target,
        options=() if padded else options,
        compressed=params["compress"],
        rate_limit=params["bandwidth"],
        existing=padded,
        zeroed=padded,
    )
    work.progress.phase("convert", total=size)
    run_with_percent(argv, lambda percent: work.progress.update(int(size * percent / 100)), pass_fds=(work.lock,))
