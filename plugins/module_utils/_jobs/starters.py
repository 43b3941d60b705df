# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The two ways in which a job's process comes to outlive ours: a systemd unit, or a session of its own."""

from __future__ import annotations

import os
import subprocess
from typing import Callable

from .._commands import Commands
from .._errors import EngineError
from .._faults import FAULT_VARIABLE
from .._files import STATE_VARIABLE
from .clock import Clock
from .state import job_dir, unit_name

_RUNTIME = "/run"
_UNIT_SECONDS = 10.0
# How often systemd is asked whether a unit that says nothing is there.
_ALIVE_SECONDS = 1.0


def start_unit(argv: list[str], identifier: str, clock: Clock, commands: Commands) -> Callable[[], bool]:
    """A transient unit: it outlives the login session, and its control group takes every engine with it."""
    log = os.path.join(job_dir(identifier), "log")
    unit = unit_name(identifier)
    options = ["--quiet", "--collect", f"--unit={unit}", f"--description=imageops.fleet job {identifier}"]
    options += [
        "--property=Type=exec",
        f"--property=StandardOutput=truncate:{log}",
        f"--property=StandardError=append:{log}",
        # systemd removes it when the unit ends, also by SIGKILL.
        f"--property=RuntimeDirectory={unit}",
        "--property=RuntimeDirectoryMode=0700",
        f"--setenv=TMPDIR={os.path.join(_RUNTIME, unit)}",
    ]
    options += [
        f"--setenv={name}={os.environ[name]}" for name in (STATE_VARIABLE, FAULT_VARIABLE) if name in os.environ
    ]

    def started() -> bool:
        try:
            commands.output(["systemd-run", *options, *argv])
        except EngineError as error:
            # The unit of the last job on this target goes a moment after its process.
            if "already loaded" in str(error) or "already exists" in str(error):
                return False
            raise
        return True

    if not clock.wait_until(started, _UNIT_SECONDS):
        raise EngineError(f"The unit {unit} of an earlier job does not end; look at it with systemctl.")
    asked = clock.now()

    def alive() -> bool:
        nonlocal asked
        if clock.now() - asked < _ALIVE_SECONDS:
            return True
        asked = clock.now()
        state = commands.output(["systemctl", "show", "--property=ActiveState", "--value", unit])
        return state.strip() not in ("inactive", "failed")

    return alive


def start_session(argv: list[str], identifier: str) -> Callable[[], bool]:
    """Without systemd: a session of its own, which a hang-up of ours does not reach."""
    with open(os.path.join(job_dir(identifier), "log"), "w", encoding="utf-8") as log:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, cwd="/"
        )
    return lambda: process.poll() is None
