# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Following an installer: what its console says, and how it ends."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Callable

from .._errors import EngineError, ImageOpsError, TimedOut, system_error
from .._files import remove
from .._hypervisor import agent
from .._hypervisor.console import Console
from .._hypervisor.domain import Domain
from .._hypervisor.lifecycle import Lifecycle
from .._jobs.clock import Clock
from .._jobs.progress import Progress

_INTERVAL = 0.5
_SAY_SECONDS = 2.0
_AGENT_SECONDS = 5.0
_TAIL = 15
_MOST_LINE = 100
_SHUTDOWN_SECONDS = 600
_ASK_SECONDS = 10


class Watch:
    """One installation from the start of its machine to its end; `begin` starts the machine, from its own disk alone when told so."""

    def __init__(
        self, name: str, finish: dict[str, Any], log: str, life: Lifecycle, progress: Progress, clock: Clock
    ) -> None:
        self._name, self._finish, self._log = name, finish, log
        self._life, self._progress, self._clock = life, progress, clock
        self._console, self._failures, self._lines = Console(log), Console(log), Console(log)
        self._said = self._asked = 0.0
        self._domain: Domain | None = None
        self._met, self._failure, self._restarts = False, "", 0
        self.reboots = 0

    def follow(self, begin: Callable[[bool], Domain], *, again_from_disk: bool) -> None:
        """Until the end; raises TimedOut, and EngineError for an installer that fails or dies.

        A machine that restarts itself would start a kernel of ours once more, so then it begins `again_from_disk`.
        """
        ends = self._clock.now() + self._finish["timeout"]
        self._begin(begin, from_disk=False)
        while self._goes_on(ends):
            # It restarts from its new disk, or powered off though somebody waits for what the new system says.
            self.reboots += 1
            if self._end or again_from_disk:
                self._put_out()
                self._begin(begin, from_disk=True)

    def _goes_on(self, ends: float) -> bool:
        """Wait for something to happen; whether the installation isn't over then."""
        left = ends - self._clock.now()
        if left <= 0 or not self._clock.wait_until(self._is_over, left, interval=_INTERVAL):
            raise self._failed(TimedOut, f"was not finished within {self._finish['timeout']} seconds")
        end = self._end
        if self._failure:
            raise self._failed(EngineError, f"failed: {self._failure}")
        if end and not self._life.is_orderly(end):
            raise self._failed(EngineError, f"{end} before it was finished")
        if self._met:
            self._stop()
            if not self._life.is_orderly(self._end):
                raise self._failed(EngineError, f"was finished, but {self._end} before it had shut down")
        return not (self._met or end and self._finish["when"] == "poweroff")

    @property
    def _end(self) -> str:
        return self._life.end_of(self._name)

    def _begin(self, begin: Callable[[bool], Domain], *, from_disk: bool) -> None:
        remove(self._log)
        self._console, self._failures, self._lines = Console(self._log), Console(self._log), Console(self._log)
        self._restarts = 0
        self._domain = begin(from_disk)

    def _is_over(self) -> bool:
        """Whether something happened: the end, what ends it, a failure, a restart."""
        # The end is looked at first: what was said before it is still found below.
        end = self._end
        if not end:
            self._life.require_alive()
        self._tell()
        pattern = self._finish["failure"]
        found = self._failures.find(re.compile(pattern, re.MULTILINE)) if pattern else None
        if found:
            self._failure = found.group(0).strip()[:_MOST_LINE]
            return True
        self._met = self._is_met(end)
        before, self._restarts = self._restarts, self._life.reboots(self._name)
        return bool(self._met or end or self._restarts > before)

    def _is_met(self, end: str) -> bool:
        if self._finish["when"] == "console":
            return self._console.find(re.compile(self._finish["console"], re.MULTILINE)) is not None
        if self._finish["when"] == "agent" and not end and self._clock.now() - self._asked >= _AGENT_SECONDS:
            self._asked = self._clock.now()
            return self._domain is not None and agent.answers(self._domain)
        return False

    def _tell(self) -> None:
        """Show the last line that the console said, not too often."""
        if self._clock.now() - self._said < _SAY_SECONDS:
            return
        self._said = self._clock.now()
        wanted = re.compile(self._finish["progress"] or ".")
        lines = [line.strip() for line in self.tail() if wanted.search(line)]
        if lines:
            self._progress.say(lines[-1][:_MOST_LINE])

    def tail(self) -> list[str]:
        """The last lines of the console."""
        self._lines.recent()
        return self._lines.tail(_TAIL)

    def _stop(self) -> None:
        """Ask the guest to shut down, so that its disk is clean; raises TimedOut for one that doesn't."""
        self._progress.say("shutting the new system down")
        for _turn in range(_SHUTDOWN_SECONDS // _ASK_SECONDS):
            self._ask_to_stop()
            if self._clock.wait_until(lambda: bool(self._end), _ASK_SECONDS):
                return
        raise self._failed(TimedOut, f"did not shut down within {_SHUTDOWN_SECONDS} seconds after it was finished")

    def _ask_to_stop(self) -> None:
        """Press the power button; a guest that has just come up may not look at it yet."""
        if self._domain is not None and not self._end:
            with contextlib.suppress(ImageOpsError):
                self._domain.shutdown()

    def _put_out(self) -> None:
        if self._domain is not None and not self._end:
            with contextlib.suppress(ImageOpsError):
                self._domain.destroy()
            self._clock.wait_until(lambda: bool(self._end), _SHUTDOWN_SECONDS)

    def _failed(self, kind: type[ImageOpsError], what: str) -> ImageOpsError:
        """The error, with the end of the console and a picture of the screen."""
        tail = self.tail()
        said = "; its console's last lines were:\n" + "\n".join(tail) if tail else "; its console said nothing."
        return kind(f"The installer {what}{said}", console_tail=tail, **self._picture())

    def _picture(self) -> dict[str, str]:
        """What the screen shows; why there is no picture doesn't hide what went wrong."""
        folder = self._finish["screenshot"]
        if not folder or self._domain is None or self._end:
            return {}
        from .vm_screenshot import take_picture

        path = os.path.join(folder, f"{self._name}.png")
        try:
            return {"screenshot": take_picture(self._life.connection, self._domain, path)["path"]}
        except ImageOpsError as error:
            return {"screenshot_error": str(error)}
        except OSError as error:
            return {"screenshot_error": str(system_error(error))}
