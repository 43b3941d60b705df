# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The effects of a program that effects.c was loaded into: how many it may still have, what they were, and which of them to strike at."""

from __future__ import annotations

import fcntl
import random
import re
import struct
from collections.abc import Sequence
from pathlib import Path

# More than any act has.
ALL = 2**31 - 1
_NUMBER = struct.Struct("=i")
_COMMAND = re.compile(r'"execute": *"([^"]+)"')
_EVENT = re.compile(r'"event": *"([^"]+)"')
_FILES = {"rename": "before {} is replaced", "renamed": "{} is replaced", "unlink": "before {} is removed"}


class Effects:
    """`folder` holds the library, libeffects.so, and what it reads and writes."""

    def __init__(self, folder: str) -> None:
        self.variables = {"LD_PRELOAD": f"{folder}/libeffects.so", "IMAGEOPS_EFFECTS": folder}
        self._left, self._told = Path(folder, "left"), Path(folder, "told")
        self._left.write_bytes(_NUMBER.pack(0))

    def allow(self, number: int) -> None:
        """So many from now on; with the last one the program is killed."""
        self._told.write_bytes(b"")
        self._set(number)

    def end(self) -> list[str]:
        """No more is counted; the names of those that were."""
        self._set(0)
        return [named(line) for line in self._told.read_text(encoding="utf-8", errors="replace").splitlines()]

    def _set(self, number: int) -> None:
        with self._left.open("r+b") as stream:
            # No effect is half-way then.
            fcntl.flock(stream, fcntl.LOCK_EX)
            stream.write(_NUMBER.pack(number))


def named(line: str) -> str:
    """An effect in a few words, from the line that tells it."""
    kind, _blank, text = line.partition(" ")
    if kind in _FILES:
        return _FILES[kind].format(text)
    command, event = _COMMAND.search(text), _EVENT.search(text)
    if kind == "write":
        return f"asks {command[1] if command else 'more'}"
    return f"hears {event[1] if event else 'an answer'}"


def chosen(count: int, every: int, chance: random.Random) -> Sequence[int]:
    """Which of `count` effects to strike at: each one in `every`, from a random one of the first on."""
    return range(1 + chance.randrange(min(every, count)), count + 1, every) if count else ()
