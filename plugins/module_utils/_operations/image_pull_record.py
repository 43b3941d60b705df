# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the record of a pulled file says, and whether it tells of a signature that is asked for."""

from __future__ import annotations

from .._catalog.image import DiskEntry
from .._catalog.variables import TOLD_AS, Variables
from .._records import Record
from .held_images import OPERATION
from .image_pull_found import Found
from .image_pull_request import PullRequest
from .image_pull_signed import signature_mark


def record_of(
    request: PullRequest, disk: DiskEntry, *, tool: str, signed: str, variables: Variables | None = None
) -> Record:
    """The record of a file that holds `disk`; `signed` is `signature_mark` of what was asked for, `variables` came with the image."""
    source = {
        "reference": str(request.reference),
        "catalog": request.reference.catalog,
        "manifest": request.digest,
        "disk": disk.name,
        "content": disk.content,
        **({"signed": signed} if signed else {}),
        **({TOLD_AS: variables.as_dict()} if variables else {}),
    }
    return Record(OPERATION, request.format, disk.size, source, {"format": request.format}, tool=tool)


def is_known_as_signed(request: PullRequest, found: Found) -> bool:
    """Whether no signature is asked for, or this very one was found when the file was pulled."""
    mark = signature_mark(request.signature)
    return not mark or found.pulled.get("signed") == mark
