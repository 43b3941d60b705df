# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ways to interrupt a run: at a named moment of the code, at any moment from outside, by a lost source."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

from processes import engines_of, helper_of, kill, of_unit, wait_until

if TYPE_CHECKING:
    from rounds import Lengths
    from scenario import Scenario

_APPEARS = 120.0
_REPLACED = "-was"


class Strike:
    """Nothing happens; subclasses say what does."""

    fault = ""
    # Whether the module itself is killed, so that it says nothing.
    takes_module = False
    # Whether the next run starts while the job may still be at work.
    rejoins = False
    # Whether the interrupted run itself must have tidied up.
    cleans = False
    # Whether a third run is to show that nothing changes any more.
    thorough = True

    def before(self, scenario: Scenario) -> None:
        """Done before the module starts."""

    def start(self, scenario: Scenario) -> subprocess.Popen[str]:
        """Start the module."""
        return scenario.room.start(scenario.module, scenario.options, fault=self.fault)

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        """Done while the module runs; whether something was really interrupted."""
        return False

    def settle(self, scenario: Scenario) -> None:
        """Done when all has ended, before anybody looks."""

    def undo(self, scenario: Scenario) -> None:
        """Done before the next run, and again at the end of the round."""

    def end(self) -> None:
        """Done when the round is over."""


class Point(Strike):
    """A named moment of the code fails."""

    def __init__(self, point: str, how: str, *, by_module: bool, thorough: bool = True) -> None:
        self.fault, self.thorough = f"{point}:{how}", thorough
        self.takes_module = by_module and how == "kill"
        self.cleans = how != "kill"

    def __str__(self) -> str:
        return self.fault


class Kill(Strike):
    """kill -9 at a moment that is `part` (0 to 1) of the way through."""

    def __init__(self, what: str, part: float, *, rejoins: bool = False, thorough: bool = True) -> None:
        self.what, self.part, self.rejoins, self.thorough = what, part, rejoins, thorough
        self.takes_module = what in ("module", "all")

    def __str__(self) -> str:
        return f"kill of {self.what} at {self.part:.2f}{', joined' if self.rejoins else ''}"

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        if self.what == "module":
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.part * lengths.module)
            return process.poll() is None and kill([process.pid]) > 0
        job = scenario.job
        if not wait_until(lambda: bool(of_unit(job)) or process.poll() is not None, _APPEARS):
            return False
        first, last = lengths.engine if self.what == "engine" else (0.0, lengths.helper)
        time.sleep(first + self.part * (last - first))
        if self.what == "helper":
            return kill(helper_of(job)) > 0
        if self.what == "engine":
            # The first one that works from this moment on.
            wait_until(lambda: bool(engines_of(job)) or not of_unit(job), _APPEARS, pause=0.001)
            return kill(engines_of(job)) > 0
        done = kill([pid for pid, _name in of_unit(job)])
        return done + (kill([process.pid]) if process.poll() is None else 0) > 0


class Cancel(Strike):
    """disk_job_info stops the job, at a named point where it hangs or at any moment; with `killed` it dies in the middle of that."""

    def __init__(self, part: float, *, point: str = "", killed: bool = False) -> None:
        self.part, self.point, self.killed = part, point, killed
        self.fault = f"{point}:hang" if point else ""
        self.cleans = not killed

    def __str__(self) -> str:
        return f"job cancel at {self.point or f'{self.part:.2f}'}{', itself killed' if self.killed else ''}"

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        if not wait_until(lambda: bool(of_unit(scenario.job)) or process.poll() is not None, _APPEARS):
            return False
        time.sleep(lengths.helper + 0.3 if self.point else self.part * lengths.helper)
        lived = bool(of_unit(scenario.job))
        cancel = scenario.room.start("disk_job_info", {"ids": [scenario.job], "cancel": True})
        if self.killed:
            with contextlib.suppress(subprocess.TimeoutExpired):
                cancel.wait(0.15 + 0.4 * self.part)
            kill([cancel.pid])
            cancel.communicate()
            return lived
        out, err = cancel.communicate(timeout=600)
        if '"failed": true' in out or "Traceback" in out + err:
            raise RuntimeError(f"the cancellation failed: {(out + err)[-600:]}")
        # The last that a job does is to say that it is over.
        if not wait_until(lambda: not of_unit(scenario.job), 60):
            raise RuntimeError("the job is still at work after it was cancelled")
        return lived and '"cancelled"' in out


class LostSource(Strike):
    """The source is removed, or another file takes its name, while the job works."""

    def __init__(self, part: float, *, replaced: bool) -> None:
        self.part, self.replaced = part, replaced

    def __str__(self) -> str:
        return f"source {'replaced' if self.replaced else 'removed'} at {self.part:.2f}"

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        if not wait_until(lambda: bool(of_unit(scenario.job)) or process.poll() is not None, _APPEARS):
            return False
        time.sleep(self.part * lengths.helper)
        lived = bool(of_unit(scenario.job))
        os.rename(scenario.source, f"{scenario.room.temp}{_REPLACED}")
        if self.replaced:
            with open(f"{scenario.room.folder}/other", "wb") as stream:
                stream.write(b"other" * (os.path.getsize(f"{scenario.room.temp}{_REPLACED}") // 5))
            os.rename(f"{scenario.room.folder}/other", scenario.source)
        return lived

    def settle(self, scenario: Scenario) -> None:
        self.undo(scenario)

    def undo(self, scenario: Scenario) -> None:
        if os.path.exists(f"{scenario.room.temp}{_REPLACED}"):
            os.replace(f"{scenario.room.temp}{_REPLACED}", scenario.source)
