# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Values that no option of any module can have: texts with a NUL character, times that nobody waits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .._errors import InvalidOption

_YEAR = 365 * 86400
# Times from nothing on, and those whose least their own module knows.
_TIMES = ("timeout", "shutdown_timeout", "lock_timeout", "wait_for.timeout")
_LONG_TIMES = ("lease_timeout", "idle_timeout", "guest_timeout", "quiesce_timeout")
# What is in there is the guest's matter.
_FREE = ("cloud_init",)
# A longer number tells nobody anything.
_MOST_SHOWN = 10**15


def require_plain(params: dict[str, Any]) -> None:
    """Raise InvalidOption for such a value, with the name of its option; a text may be secret and isn't told."""
    for option, value in _values(params, ""):
        if isinstance(value, str):
            if "\0" in value:
                raise InvalidOption(f"{option}: it holds a NUL character, which nothing on the host can; leave it out.")
        else:
            _require_time(option, value)


def _require_time(option: str, seconds: int) -> None:
    # The option of an item is called as that of the task: vms[0].timeout.
    name = option.rpartition("].")[2]
    if (seconds > _YEAR and name in (*_TIMES, *_LONG_TIMES)) or (seconds < 0 and name in _TIMES):
        told = seconds if abs(seconds) < _MOST_SHOWN else "so many"
        raise InvalidOption(f"{option}: {told} seconds can't be waited; give 0 or more, at most {_YEAR} (a year).")


def _values(value: Any, option: str) -> Iterator[tuple[str, Any]]:
    """Every text and every number in `value`, with the name of its option."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name not in _FREE:
                yield from _values(inner, f"{option}.{name}" if option else str(name))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _values(inner, f"{option}[{number}]")
    elif isinstance(value, (str, int)) and not isinstance(value, bool):
        yield option, value
