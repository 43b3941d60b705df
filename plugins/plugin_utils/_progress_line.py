# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A job's progress as lines for people: one per phase and per step of some percent."""

from __future__ import annotations

from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._sizes import format_size

_STEP_PERCENT = 10
_MOST_SILENT_SECONDS = 60.0


class ProgressLines:
    """What has been said about the jobs of one task on one host."""

    def __init__(self, host: str) -> None:
        self._host = host
        self._said: dict[str, tuple[str, int, float]] = {}

    def line(self, state: dict[str, Any], *, waited: float) -> str | None:
        """What is worth saying of a job after `waited` seconds, if anything."""
        phase, percent = _plain(state.get("phase")), _number(state.get("percent"))
        step = int(percent // _STEP_PERCENT)
        last_phase, last_step, last_time = self._said.get(str(state.get("id")), ("", -1, 0.0))
        if (phase, step) == (last_phase, last_step) and waited - last_time < _MOST_SILENT_SECONDS:
            return None
        self._said[str(state.get("id"))] = (phase, step, waited)
        return f"{self._host}: {_plain(state.get('target'))}: {_facts(phase or 'starting', percent, state)}"


def _facts(phase: str, percent: float, state: dict[str, Any]) -> str:
    total, rate, eta = (_number(state.get(name)) for name in ("total", "rate", "eta"))
    words = [f"{phase} {percent:.0f} % of {format_size(int(total))}" if total else phase]
    if rate:
        words.append(f"{format_size(int(rate))}/s")
    if eta:
        words.append(f"{_duration(eta)} left")
    return ", ".join(words)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _number(value: Any) -> float:
    """A host says what it likes."""
    return float(value) if isinstance(value, (int, float)) and abs(value) < 1e18 else 0.0


def _plain(value: Any) -> str:
    """Text that moves no cursor."""
    return "".join(letter if letter.isprintable() else "?" for letter in str(value or ""))[:200]
