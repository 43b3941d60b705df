# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Internal snapshots by `qemu-img snapshot`, which has no -f: the format stands in the image's options."""

from __future__ import annotations

from collections.abc import Sequence

from .bounded import run_bounded
from .image import PROGRAM, Image

CREATE, APPLY, DELETE = "-c", "-a", "-d"


def snapshot_arguments(image: Image, verb: str, name: str) -> list[str]:
    """The command for one snapshot. `name` is a name, or with APPLY an id; a comma in a path would end the option."""
    path = image.path.replace(",", ",,")
    named = f"driver={image.driver},file.driver=file,file.filename={path}"
    return [PROGRAM, "snapshot", "-q", verb, name, "--image-opts", named]


def change_snapshots(image: Image, verb: str, name: str, *, pass_fds: Sequence[int] = ()) -> None:
    """Create, apply or delete a snapshot; raises EngineError or NoSpace with QEMU's words."""
    said = run_bounded(snapshot_arguments(image, verb, name), pass_fds=pass_fds)
    if said.rc != 0:
        raise said.error()
