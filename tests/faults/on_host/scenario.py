# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a scenario is: one operation, asked for in one way, with the states that its image may be in."""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from processes import run
from room import Room, job_id

if TYPE_CHECKING:
    import random

    from strikes import Strike

OLD, NEW = "old", "new"


class Scenario:
    """A subclass per operation says how things begin, what is asked, and what may be seen at any moment."""

    name = ""
    module = ""
    # The kind of the job that does the work, and the file that it writes; the kind is empty where the module works itself.
    kind = ""
    points: tuple[str, ...] = ()
    # A pattern of the files that may stay until the next run.
    kept = ""
    # A pattern of the files that stay until a later pruning takes them.
    garbage = ""
    # A file that is only read: it gets removed, replaced and unreadable.
    source = ""
    # Whether another file may take the source's name; what lies below an overlay is a part of it.
    replaceable = True
    # Whether the image is changed where it is, so that a failure need not give the space back before the next run.
    in_place = False
    engines = True
    # Whether another scenario goes through the same code but for a little: then fewer moments are tried.
    variant = False
    # Whether a run takes tens of seconds, so that only the named points are tried, and none in a sample.
    slow = False
    # Whether a sample has it too: it meets points of its own, or stands for others.
    sampled = True
    # The points that a sample meets, where it needn't meet all of them.
    sampled_points: tuple[str, ...] = ()
    # Programs without which the scenario can't be played on a host.
    needs: tuple[str, ...] = ()
    # What the name shows when all is done; a scenario that only reads shows the old one.
    done = NEW
    full_sizes: tuple[int, ...] = (0, 1, 3, 6, 10)

    def __init__(self, room: Room) -> None:
        self.room = room
        self.new: dict[str, Any] = {}

    @property
    def target(self) -> str:
        """The path that the job writes."""
        raise NotImplementedError

    @property
    def written(self) -> str:
        """The file whose disk gets I/O errors; most often the target."""
        return self.target

    @property
    def options(self) -> dict[str, Any]:
        raise NotImplementedError

    @property
    def job(self) -> str:
        return job_id(self.kind, self.target)

    def path(self, name: str) -> str:
        return f"{self.room.disk}/{name}"

    def prepare(self) -> None:
        """Make the master files, once."""
        raise NotImplementedError

    def fresh(self) -> None:
        """Bring everything to where it begins."""
        raise NotImplementedError

    def look(self) -> str:
        """OLD, NEW, or words for what must not be."""
        raise NotImplementedError

    def problems(self) -> str:
        """What is wrong with the finished image, apart from its content."""
        return ""

    def strikes(self, chance: random.Random) -> Iterable[Strike]:
        """Interruptions that only this scenario has."""
        return ()

    def end(self) -> None:
        """End what `prepare` started."""


def same_content(one: str, format: str, other: str, *, other_format: str = "raw") -> bool:
    """Whether guests see the same in two images."""
    done = run("qemu-img", "compare", "-q", "-f", format, "-F", other_format, one, other, check=False)
    return done.returncode == 0


def same_file(one: str, other: str) -> bool:
    """Whether two files hold the same bytes."""
    return os.path.exists(one) and os.path.exists(other) and filecmp.cmp(one, other, shallow=False)


def checked(path: str, format: str = "qcow2", *, leaks: bool = False) -> str:
    """What qemu-img check finds wrong; nothing when all is well (or only clusters are leaked, where that is allowed)."""
    done = run("qemu-img", "check", "-f", format, path, check=False)
    good = (0, 3) if leaks else (0,)
    return (
        ""
        if done.returncode in good
        else f"qemu-img check of {path}: {done.stdout.strip()[-300:]} {done.stderr.strip()[-200:]}"
    )


def random_bytes(path: str, mebibytes: int) -> None:
    with open(path, "wb") as stream:
        stream.writelines(os.urandom(1 << 20) for _number in range(mebibytes))
