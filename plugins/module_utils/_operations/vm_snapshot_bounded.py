# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Calls of libvirt that end in time, or go on without us."""

from __future__ import annotations

import threading
import time
from typing import Callable

from .._errors import EngineError, ImageOpsError, TimedOut


def bounded(call: Callable[[], None], *, timeout: float, what: str) -> float:
    """Run `call`, at most for `timeout` seconds (0: as long as it takes), and say how many it took.

    libvirt goes on with what it began.
    """
    began = time.monotonic()
    ended: list[ImageOpsError | None] = []

    def run() -> None:
        try:
            call()
        except ImageOpsError as error:
            ended.append(error)
        else:
            ended.append(None)

    worker = threading.Thread(target=run, daemon=True)
    worker.start()
    worker.join(timeout or None)
    if worker.is_alive():
        raise TimedOut(
            f"timeout: {what} did not end within {timeout:g} seconds; libvirt goes on with it, run the task again "
            "later."
        )
    error = ended[0] if ended else EngineError(f"{what} ended without an answer.")
    if error:
        raise error
    return time.monotonic() - began
