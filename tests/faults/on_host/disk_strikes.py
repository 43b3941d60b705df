# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks that fail a run: full, or with I/O errors below the source or below the image itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from bad_disk import BadDisk
from dying_disk import DyingDisk
from processes import run
from strikes import Strike

if TYPE_CHECKING:
    from rounds import Lengths
    from scenario import Scenario


class FullDisk(Strike):
    """The disk has only so much room left; the scenario's folder is a small file system of its own."""

    cleans = True

    def __init__(self, mebibytes: int) -> None:
        self.mebibytes = mebibytes
        self._free = 0

    def __str__(self) -> str:
        return f"{self.mebibytes} MiB free"

    def _filler(self, scenario: Scenario) -> str:
        return scenario.path("filler")

    def before(self, scenario: Scenario) -> None:
        os.sync()
        room = _free(scenario) - (self.mebibytes << 20)
        if room > 0:
            run("fallocate", "-l", str(room), self._filler(scenario), check=False)
        self._free = _free(scenario)

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        return process.wait(600) != 0

    def settle(self, scenario: Scenario) -> None:
        os.sync()
        back = self._free - _free(scenario)
        if back > 1 << 20 and not scenario.in_place and scenario.look() == "old":
            raise RuntimeError(f"{back} bytes were not given back")

    def undo(self, scenario: Scenario) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._filler(scenario))


class BadSource(Strike):
    """From a place on the source's disk gives I/O errors."""

    cleans = True

    def __init__(self, part: float) -> None:
        self.part = part
        self._disk: BadDisk | None = None

    def __str__(self) -> str:
        return f"EIO from {self.part:.2f} of the source"

    def before(self, scenario: Scenario) -> None:
        self._disk = BadDisk(f"{scenario.room.folder}/bad", scenario.source, self.part)

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        return process.wait(600) != 0

    def settle(self, scenario: Scenario) -> None:
        # What is looked at may rest on the source.
        self.undo(scenario)

    def undo(self, scenario: Scenario) -> None:
        if self._disk:
            self._disk.end()
            self._disk = None


class BadImage(Strike):
    """The image's own disk gives I/O errors: from `part` of the image on, or `mebibytes` behind all that is on it."""

    cleans = True

    def __init__(self, *, part: float = -1, mebibytes: int = 0) -> None:
        self.part, self.mebibytes = part, mebibytes
        self._disk: DyingDisk | None = None

    def __str__(self) -> str:
        return f"EIO {f'from {self.part:.2f} of the image' if self.part >= 0 else f'{self.mebibytes} MiB behind it'}"

    def before(self, scenario: Scenario) -> None:
        self._disk = DyingDisk(scenario.room.disk)
        scenario.fresh()
        if self.part >= 0:
            self._disk.die(self._disk.block_of(scenario.written, self.part))
        else:
            self._disk.die(self._disk.first_free(self.mebibytes))

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        return process.wait(600) != 0

    def settle(self, scenario: Scenario) -> None:
        # What the disk really holds, and no memory of what could not be written.
        self.undo(scenario)

    def undo(self, scenario: Scenario) -> None:
        if self._disk:
            self._disk.heal()

    def end(self) -> None:
        if self._disk:
            self._disk.end()
            self._disk = None


def _free(scenario: Scenario) -> int:
    return shutil.disk_usage(scenario.room.disk).free
