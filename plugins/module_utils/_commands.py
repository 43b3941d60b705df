# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs: argument lists only, C locale, one error with the program's own words."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from typing import Any, Callable, Protocol

from ._errors import EngineError, MissingLibrary, NoSpace, TimedOut

NO_SPACE = "No space left on device"


class Finished(Protocol):
    """What a runner returns: subprocess.CompletedProcess has these."""

    returncode: int
    stdout: str
    stderr: str


# What Commands needs from outside: it is called as subprocess.run is.
Runner = Callable[..., Finished]


def environment() -> dict[str, str]:
    """The environment engines run in: C locale, so that messages can be read."""
    return {**os.environ, "LC_ALL": "C", "LANGUAGE": "C"}


def failure(argv: Sequence[str], rc: int, stderr: str) -> EngineError:
    """The error of a program that ended with `rc`; a crash is named by its signal."""
    lines = [line for line in stderr.strip().splitlines() if line.strip()]
    said = lines[-1].strip() if lines else "it said nothing"
    how = f"was ended by {_signal_name(-rc)}" if rc < 0 else f"failed with exit code {rc}"
    kind = NoSpace if NO_SPACE in stderr else EngineError
    text = f"{os.path.basename(argv[0])} {how}: {said}"
    return kind(text, cmd=list(argv), rc=rc, stderr=stderr)  # type: ignore[return-value]


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class Commands:
    """Runs programs through one injected callable."""

    def __init__(self, runner: Runner = subprocess.run) -> None:
        self._run = runner

    def output(
        self,
        argv: Sequence[str],
        *,
        stdin: str | None = None,
        pass_fds: Sequence[int] = (),
        timeout: float | None = None,
    ) -> str:
        """Standard output of `argv`.

        Raises MissingLibrary when the program isn't installed, TimedOut after `timeout` seconds, NoSpace when
        it met a full file system, else EngineError when it failed or was killed.
        """
        try:
            done = self._run(
                list(argv),
                input=stdin if stdin is not None else "",
                capture_output=True,
                text=True,
                errors="replace",
                env=environment(),
                pass_fds=tuple(pass_fds),
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError:
            raise missing_program(argv[0]) from None
        except subprocess.TimeoutExpired:
            raise TimedOut(f"{argv[0]} did not end within {timeout:g} seconds.", cmd=list(argv)) from None
        if done.returncode != 0:
            raise failure(argv, done.returncode, done.stderr)
        return done.stdout

    def json(self, argv: Sequence[str], **kwargs: Any) -> Any:
        """The JSON that `argv` prints; raises like `output`, and EngineError for text that isn't JSON."""
        text = self.output(argv, **kwargs)
        try:
            return json.loads(text)
        except ValueError:
            raise EngineError(
                f"{argv[0]} printed something that is not JSON.", cmd=list(argv), stdout=text[:2000]
            ) from None


def missing_program(name: str) -> MissingLibrary:
    """The error for a program that isn't installed, with the package that holds it."""
    from ._packages import package

    program = os.path.basename(name)
    return MissingLibrary(
        f"The program '{program}' is not installed on this host; install the package {package(program)}."
    )


def require_program(name: str) -> str:
    """Absolute path of the program `name`; raises MissingLibrary."""
    found = shutil.which(name)
    if found is None:
        raise missing_program(name)
    return found
