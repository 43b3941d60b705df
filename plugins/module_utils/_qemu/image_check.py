# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`qemu-img check` with all that it tells, and its repairs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import EngineError
from .bounded import Said, run_bounded
from .image import PROGRAM, Image

# Exit codes of qemu-img-check(1): consistent, internal error, corrupted, leaks only, no check for this format.
_CLEAN, _FAILED, _CORRUPT, _LEAKS, _NO_CHECK = 0, 1, 2, 3, 63
_MOST_LINES = 10
# What QEMU says when a lock of a whole byte is in its way: ours, while a job gives a new image its name.
_LOCKED = "Failed to lock byte"
_LOCK_SECONDS, _PAUSE = 10.0, 0.1
_COUNTS = {
    "errors": "check-errors",
    "corruptions": "corruptions",
    "leaks": "leaks",
    "corruptions_fixed": "corruptions-fixed",
    "leaks_fixed": "leaks-fixed",
    "total_clusters": "total-clusters",
    "allocated_clusters": "allocated-clusters",
    "fragmented_clusters": "fragmented-clusters",
    "compressed_clusters": "compressed-clusters",
    "image_end_offset": "image-end-offset",
}


@dataclass(frozen=True)
class Report:
    """What a check found; numbers are clusters, but `image_end_offset`, which is in bytes. `checkable` is false for formats
    that QEMU has no check for."""

    checkable: bool
    errors: int = 0
    corruptions: int = 0
    leaks: int = 0
    corruptions_fixed: int = 0
    leaks_fixed: int = 0
    total_clusters: int = 0
    allocated_clusters: int = 0
    fragmented_clusters: int = 0
    compressed_clusters: int = 0
    image_end_offset: int = 0
    messages: tuple[str, ...] = ()

    @property
    def damaged(self) -> bool:
        """Whether guest data may be lost or about to be."""
        return bool(self.errors or self.corruptions)

    @property
    def sound(self) -> bool:
        return not self.damaged and not self.leaks

    def as_dict(self) -> dict[str, Any]:
        return {**self.__dict__, "messages": list(self.messages)}


def check_image(image: Image) -> Report:
    """What QEMU finds wrong with the tables of `image`; nothing is written."""
    end = time.monotonic() + _LOCK_SECONDS
    while True:
        said = run_bounded([PROGRAM, "check", "--output=json", "-f", image.driver, image.path])
        if said.rc != _FAILED or _LOCKED not in said.stderr or time.monotonic() > end:
            return _report(said)
        time.sleep(_PAUSE)


def repair_image(image: Image, how: str, *, pass_fds: Sequence[int] = ()) -> Report:
    """Repair `leaks` or `all` in place; raises EngineError or NoSpace when QEMU gave up."""
    said = run_bounded(
        [PROGRAM, "check", "--output=json", "-r", how, "-f", image.driver, image.path], pass_fds=pass_fds
    )
    return _report(said)


def _report(said: Said) -> Report:
    if said.rc == _NO_CHECK:
        return Report(False)
    if said.rc not in (_CLEAN, _CORRUPT, _LEAKS) and not (said.rc == _FAILED and _is_told(said)):
        raise said.error()
    found = _json(said)
    # A corruption that QEMU meets while it closes the image is told by its exit code alone.
    least = 1 if said.rc == _CORRUPT and not (found.get("corruptions") or found.get("check-errors")) else 0
    counts = {ours: int(found.get(theirs, 0)) for ours, theirs in _COUNTS.items()}
    lines = [line.strip() for line in said.stderr.splitlines() if line.strip()]
    return Report(True, **{**counts, "errors": counts["errors"] or least}, messages=tuple(lines[:_MOST_LINES]))


def _is_told(said: Said) -> bool:
    """Whether a failed check has told what it found all the same: errors that kept it from looking at everything."""
    return '"check-errors"' in said.stdout and bool(_json(said).get("check-errors"))


def _json(said: Said) -> dict[str, Any]:
    try:
        loaded = json.loads(said.stdout)
    except ValueError:
        loaded = None
    if not isinstance(loaded, dict):
        raise EngineError("qemu-img check printed something that is not JSON.", cmd=list(said.argv), rc=said.rc)
    return loaded
