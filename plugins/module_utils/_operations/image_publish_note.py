# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host remembers of a publish: from what it was made, and what came of it; so an unchanged source isn't read again."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from .._files import write_bytes
from .image_publish_journal import note_path
from .image_publish_request import PublishRequest

_MOST = 16 << 20


@dataclass(frozen=True)
class PublishNote:
    """`meaning` is the request's; `digest` the image's, and `facts` what the result tells of it."""

    meaning: dict[str, Any]
    digest: str
    facts: dict[str, Any]


def read_note(request: PublishRequest) -> PublishNote | None:
    """The note of the last publish of that reference, None when it isn't there or can't be read."""
    try:
        with open(note_path(request.shown), "rb") as stream:
            return PublishNote(**json.loads(stream.read(_MOST)))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def tells(note: PublishNote | None, request: PublishRequest, current: str) -> bool:
    """Whether the note says that `current`, which the tag names, is what would be published."""
    if note is None or note.digest != current or not _files_tell(request):
        return False
    return bool(note.meaning == json.loads(json.dumps(request.meaning)))


def _files_tell(request: PublishRequest) -> bool:
    """Whether equal fingerprints mean equal content; a guest, and who writes to a block device, leave none."""
    return not request.runs and all(os.path.isfile(one["path"]) for disk in request.disks for one in disk.files)


def write_note(request: PublishRequest, digest: str, facts: dict[str, Any]) -> None:
    """Remember; what a power cut takes costs a reading."""
    note = PublishNote(request.meaning, digest, facts)
    write_bytes(note_path(request.shown), json.dumps(asdict(note)).encode(), durable=False)
