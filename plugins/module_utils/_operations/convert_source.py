# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first phase of a conversion: the source, inspected here and now, held, and still the same at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from .._errors import Conflict
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .base_files import Bases
from .convert_request import OVERLAY
from .inspection import Inspected, Pins, identity_of, inspect, pinned_identity


@contextlib.contextmanager
def obtained(params: dict[str, Any], progress: Progress, lock: int) -> Iterator[Inspected]:
    """The source for the time of the conversion; raises Conflict when it isn't what the task looked at.

    What an overlay is to rest on is not replaced meanwhile.
    """
    pins, bases = Pins(), Bases(Clock())
    try:
        if params["method"] == OVERLAY:
            bases.keep(params["src"])
        found = inspect(
            params["src"],
            declared=params["src_format"],
            backing=params["src_backing"],
            option="src",
            opener=pins.open,
        )
        source = replace(found, pinned=pins.handles)
        require_unchanged(params, source)
        yield source
    finally:
        pins.close()
        bases.close()


def require_unchanged(params: dict[str, Any], source: Inspected) -> None:
    """Raise Conflict when a file of the source isn't what the task looked at, by its name or by what is held of it."""
    held = pinned_identity(source.pinned, source.files) if source.pinned else params["source"]
    if identity_of(source.files) != params["source"] or held != params["source"]:
        raise Conflict(
            f"src: {params['src']} was written to while it was being converted; run the task again when nothing writes to it."
        )
