# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of vm_snapshot: kill -9 of the module at every named point, alone and with libvirtd, and of libvirtd alone.

The rounds are played on the host itself, those of external ones by on_host/vm_snapshot_rounds.py, those of internal ones by
on_host/vm_internal_rounds.py.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Callable

from host import Failed, Host, expect
from rounds_of import driver_on

_ROUNDS = Path(__file__).parent / "on_host"
_EXTERNAL, _INTERNAL = "vm_snapshot_rounds.py", "vm_internal_rounds.py"


def _points(script: str) -> list[str]:
    """The named points that the rounds meet."""
    told = subprocess.run(
        [sys.executable, _ROUNDS / script, "-", "--points"], capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(told.stdout)
    return found


POINTS = [*_points(_EXTERNAL), *_points(_INTERNAL)]


def prepare(host: Host) -> None:
    """The rounds make all that they need."""


def tidy(host: Host) -> None:
    """The rounds leave nothing."""


def rounds(script: str, *options: str) -> Callable[[Host], None]:
    """Play them; the count is printed, and one that did not hold fails the case with all that went wrong."""

    def case(host: Host) -> None:
        with driver_on(host) as folder:
            command = shlex.join(["python3", f"{folder}/{script}", folder, *options])
            said = host.shell(command, timeout=3600).splitlines()
        played = [json.loads(line) for line in said]
        wrong = [one for one in played if one["problem"]]
        print(
            f"faults: {host.name}: {script.removesuffix('_rounds.py')}: {len(played)} rounds, {sum(one['hit'] for one in played)} hit",
            flush=True,
        )
        expect(bool(played), "no round was played")
        if wrong:
            raise Failed("; ".join(f"{one['scenario']}: {one['strike']}: {one['problem']}" for one in wrong))

    return case


CASES: dict[str, Callable[[Host], None]] = {
    "kill -9 at every named point": rounds(_EXTERNAL),
    "kill -9 of libvirtd, at every named point too": rounds(_EXTERNAL, "--daemon"),
    "internal: kill -9 at every named point": rounds(_INTERNAL),
    "internal: kill -9 of libvirtd, at every named point too": rounds(_INTERNAL, "--daemon"),
}
