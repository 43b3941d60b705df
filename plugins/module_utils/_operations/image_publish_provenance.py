# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where an image comes from that was built or captured: its recipe, and its SBOM as an artifact beside the published image."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from typing import Any

from .._catalog.artifact import Artifact
from .._catalog.digest import Descriptor, digest_of
from .._errors import ImageOpsError
from .._records import Record, read_record
from .._registry.artifacts import write_artifact
from .._registry.interface import Store
from .image_publish_request import SourceDisk

# The type that SPDX's documents have, by which tools find them beside an image.
SPDX = "application/spdx+json"
_MADE = ("build", "capture")
_MOST_SBOM = 16 << 20


def _record(disk: SourceDisk) -> Record | None:
    if not disk.files:
        return None
    try:
        found = read_record(disk.path)
    except ImageOpsError:
        return None
    return found if found and found.operation in _MADE else None


def recipe_of(disk: SourceDisk) -> dict[str, Any]:
    """What the provenance tells of a disk that was built; nothing of another."""
    record = _record(disk)
    if record is None:
        return {}
    told = {"recipe": record.options.get("recipe"), "sbom": record.options.get("sbom_digest")}
    base = {
        name: record.source[name] for name in ("kind", "digest", "manifest", "reference") if record.source.get(name)
    }
    return {
        record.operation: {**{name: text for name, text in told.items() if text}, "base": base, "tool": record.tool}
    }


def attach_sboms(store: Store, disks: Sequence[SourceDisk], digest: str) -> int:
    """Keep the SBOMs of the disks as artifacts that name the image; how many there are. The same ones are kept once."""
    count = 0
    for disk in disks:
        data = _sbom(disk)
        if data:
            subject = store.resolve(digest)
            write_artifact(store, Artifact(SPDX, Descriptor(SPDX, digest_of(data), len(data)), subject), data)
            count += 1
    return count


def _sbom(disk: SourceDisk) -> bytes:
    """The SBOM of a disk that was built, nothing where it is gone or another one by now."""
    record = _record(disk)
    name = record.options.get("sbom") if record else None
    if record is None or not isinstance(name, str) or "/" in name or not name:
        return b""
    try:
        handle = os.open(
            os.path.join(os.path.dirname(disk.path), name), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        )
    except OSError:
        return b""
    with open(handle, "rb") as stream:
        data = stream.read(_MOST_SBOM + 1)
    same = f"sha256:{hashlib.sha256(data).hexdigest()}" == record.options.get("sbom_digest")
    return data if same and len(data) <= _MOST_SBOM else b""
