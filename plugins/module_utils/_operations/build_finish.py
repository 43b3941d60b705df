# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What builds and captures have in common: their scripts, the writing of the image, and its publication."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from .._catalog.times import format_time
from .._errors import Conflict
from .._faults import fault_point
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._qemu.image import Image
from .._records import Record
from .build_generalise import generalising
from .build_place import publish, write_image
from .build_request import CHROOT, hidden_files, new_salt, sbom_path, secrets_mark
from .build_sbom import read_inventory, spdx
from .build_scripts import GuestScript, Scripts
from .build_session import Done
from .build_steps import content_digest


def _secrets(params: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = json.loads(params.get("secrets", {}).get("steps", "{}"))
    return found


def scripts_of(params: Mapping[str, Any]) -> list[GuestScript]:
    """All that is done in the guest."""
    return [*Scripts(_secrets(params)).of(params["steps"]), *generalising(params["generalise"])]


def worked_on(disk: Image, done: Done) -> Image:
    """The disk after the work: by chroot it is a raw one."""
    return Image(disk.path, "raw") if done.engine == CHROOT else disk


def written(params: Mapping[str, Any], disk: Image, size: int, progress: Progress, lock: int) -> dict[str, str]:
    """Write the image from what was worked on; which engine did it. Raises Conflict when what was copied into it isn't what was planned."""
    for step in params["steps"]:
        if "copy" in step and content_digest(step["copy"]["src"], "steps") != step["copy"]["digest"]:
            raise Conflict(f"steps: {step['copy']['src']} was written to meanwhile; run the task again.")
    new = Image(hidden_files(params["path"])[0], params["format"])
    compression, bandwidth = params["compression"], params["bandwidth"]
    told = write_image(disk, new, size=size, compression=compression, bandwidth=bandwidth, progress=progress, lock=lock)
    fault_point("build:written")
    return told


def finish(params: Mapping[str, Any], done: Done, source: dict[str, Any], size: int, progress: Progress) -> None:
    """Give the finished image its SBOM, its record and its name."""
    progress.phase("publish")
    inventory, secrets = read_inventory(done.packages), _secrets(params)
    tool = f"imageops.fleet {params['version']}"
    name = os.path.basename(params["path"])
    sbom = spdx(inventory, name=name, created=format_time(Clock().time()), tool=tool)
    salt = new_salt() if secrets else ""
    options = {
        "recipe": params["recipe"],
        "engine": done.engine,
        "packages": len(inventory.packages),
        "sbom": os.path.basename(sbom_path(params["path"], sbom)),
        "sbom_digest": f"sha256:{hashlib.sha256(sbom).hexdigest()}",
        **({"salt": salt, "mark": secrets_mark(secrets, salt)} if salt else {}),
    }
    publish(params, Record(params["kind"], params["format"], size, source=source, options=options, tool=tool), sbom)
