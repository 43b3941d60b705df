# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first phase of a conversion: the source, inspected here and now, and still the same at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from .._errors import Conflict
from .._jobs.progress import Progress
from .inspection import Inspected, identity_of, inspect


@contextlib.contextmanager
def obtained(params: dict[str, Any], progress: Progress, lock: int) -> Iterator[Inspected]:
    """The source for the time of the conversion; raises Conflict when it isn't what the task looked at."""
    source = inspect(params["src"], declared=params["src_format"], backing=params["src_backing"], option="src")
    require_unchanged(params, source)
    yield source


def require_unchanged(params: dict[str, Any], source: Inspected) -> None:
    """Raise Conflict when a file of the source isn't what the task looked at."""
    if identity_of(source.files) != params["source"]:
        raise Conflict(
            f"src: {params['src']} was written to while it was being converted; run the task again when nothing writes to it."
        )
