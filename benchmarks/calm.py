# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait until the host's processors have time, five minutes at most: what is measured next waits for nothing else."""

from __future__ import annotations

import sys
import time

_MOST = 300.0
# A hundred idle guests have timers that take a third of two processors.
_BUSY = 0.5


def ticks() -> tuple[int, int]:
    """Clock ticks since the start: idle, and all (proc(5), /proc/stat: user, nice, system, idle, iowait...)."""
    with open("/proc/stat", encoding="ascii") as stream:
        found = [int(number) for number in stream.readline().split()[1:9]]
    return found[3] + found[4], sum(found)


def busy(seconds: float) -> float:
    """The part of `seconds` that the processors work."""
    idle, whole = ticks()
    time.sleep(seconds)
    later, end = ticks()
    return 1 - (later - idle) / max(end - whole, 1)


def main() -> int:
    end = time.monotonic() + _MOST
    while busy(2.0) > _BUSY:
        if time.monotonic() > end:
            print("the host is never calm", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
