# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is at the destination of a pull, and what it means: held already, to be replaced, or in the way."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._catalog.variables import TOLD_AS, recorded_variables
from .._errors import Conflict
from .._files import fingerprint
from .._records import Record, read_record, untouched
from .held_images import OPERATION
from .image_pull_request import PullRequest
from .ownership import ownership_of


@dataclass(frozen=True)
class Found:
    """`record` is None when it isn't known who made the file; `clean` when nobody wrote to it since."""

    there: bool
    record: Record | None = None
    clean: bool = False

    @property
    def pulled(self) -> dict[str, Any]:
        """What the record says of the image in a catalog that it is; nothing when it is none."""
        return self.record.source if self.record is not None and self.record.operation == OPERATION else {}


def find(dest: str) -> Found:
    """What is known of the file at `dest`."""
    if fingerprint(dest) is None:
        return Found(False)
    record = read_record(dest)
    return Found(True, record, untouched(dest, record))


def holds(request: PullRequest, found: Found) -> bool:
    """Whether the file is, as it was made, what is asked for."""
    source, record = found.pulled, found.record
    return (
        record is not None
        and found.clean
        and source.get("manifest") == request.digest
        and request.disk in ("", source.get("disk"))
        and record.format == request.format
    )


def facts_of(request: PullRequest, found: Found) -> dict[str, Any]:
    """The file as results tell it; nothing when it isn't there."""
    if not found.there:
        return {}
    source, record = found.pulled, found.record
    variables = recorded_variables(source)
    return {
        "dest": request.dest,
        "image": str(source.get("reference", "")),
        "digest": str(source.get("manifest", "")),
        "disk": str(source.get("disk", "")),
        "format": record.format if record else "",
        "virtual_size": record.virtual_size if record else 0,
        TOLD_AS: variables.as_dict() if variables else {},
        "allocated_size": os.stat(request.dest).st_blocks * 512,
        **ownership_of(request.dest),
    }


def require_replaceable(request: PullRequest, found: Found) -> None:
    """Raise Conflict unless the file is an untouched image of the same repository, or `force` is given."""
    why = _why_not(request, found)
    if why and not request.force:
        raise Conflict(
            f"dest: {request.dest} exists and {why}, so it is not replaced; give another dest, or 'force: true' to replace it."
        )


def _why_not(request: PullRequest, found: Found) -> str:
    if not found.there:
        return ""
    source = found.pulled
    if not source:
        return "is no image that imageops.fleet pulled" + (" (its content differs)" if found.record is None else "")
    if not found.clean:
        return "was written to since it was pulled"
    if source.get("catalog") != request.reference.catalog:
        return f"was pulled from another repository ({source.get('catalog')})"
    return ""
