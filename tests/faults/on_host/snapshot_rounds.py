# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots inside of images: guests see the old content or the new, and a snapshot holds what it held."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from processes import run
from scenario import NEW, OLD, Scenario, checked, random_bytes, same_content

_IN_PLACE = ("snapshot:marked", "snapshot:before-record", "snapshot:before-unmark")


class Create(Scenario):
    """A snapshot is made in the image. Small clusters, so that there are many to count and QEMU takes its time."""

    name = "snapshot: create"
    module = "disk_snapshot"
    kind = "snapshot"
    points = (*_IN_PLACE, "snapshot:before-create", "snapshot:after-create")
    asked: ClassVar[dict[str, Any]] = {"name": "new"}
    after: tuple[str, ...] = ("a-old", "new", "old")
    reverts = False
    cluster = "1024"
    in_place = True
    # The mark says to the next run that clusters may be counted too often.
    kept = "imageops-partial-snapshot"
    full_sizes = (0, 1, 2, 3, 4)

    @property
    def target(self) -> str:
        return self.path("image.qcow2")

    @property
    def options(self) -> dict[str, Any]:
        return {"path": self.target, **self.asked}

    def prepare(self) -> None:
        master, image = self.room.master, f"{self.room.master}/image.qcow2"
        random_bytes(f"{master}/then.raw", 4)
        # Large enough for a table of several pages where clusters are small.
        os.truncate(f"{master}/then.raw", 40 << 20)
        options = ("-o", f"cluster_size={self.cluster}")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", *options, f"{master}/then.raw", image)
        for name in ("a-old", "old"):
            run("qemu-img", "snapshot", "-c", name, image)
        run("qemu-io", "-f", "qcow2", "-c", "write -P 5 0 2M", image)
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, f"{master}/now.raw")

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        self.room.copy("image.qcow2")

    def look(self) -> str:
        lines = run("qemu-img", "snapshot", "-l", self.target, check=False).stdout.splitlines()[2:]
        names = tuple(sorted(line.split()[1] for line in lines))
        if names not in (("a-old", "old"), self.after):
            return f"the snapshots are {names}"
        wrong = self._damage() or self._points(names)
        if wrong:
            return wrong
        if same_content(self.target, "qcow2", f"{self.room.master}/{'then' if self.reverts else 'now'}.raw"):
            return NEW if names == self.after else OLD
        if self.reverts and same_content(self.target, "qcow2", f"{self.room.master}/now.raw"):
            return OLD
        return "another content"

    def _damage(self) -> str:
        """What is wrong beyond counts that are too high.

        Between two writes of QEMU's, clusters count twice that the image says are its alone; `qemu-img check` calls that an
        error. It is none unless it is still there with the counts put right.
        """
        wrong = checked(self.target, leaks=True)
        if not wrong:
            return ""
        copy = f"{self.room.folder}/repaired.qcow2"
        run("cp", self.target, copy)
        return (
            "" if run("qemu-img", "check", "-r", "leaks", "-f", "qcow2", copy, check=False).returncode == 0 else wrong
        )

    def _points(self, names: tuple[str, ...]) -> str:
        """What is wrong with the content of a snapshot; only the last one, which all operations are about."""
        if "old" not in names:
            return ""
        out = f"{self.room.folder}/point.raw"
        done = run(
            "qemu-img", "convert", "-f", "qcow2", "-l", "snapshot.name=old", "-O", "raw", self.target, out, check=False
        )
        same = done.returncode == 0 and same_content(out, "raw", f"{self.room.master}/then.raw")
        return "" if same else "the snapshot holds something else"

    def problems(self) -> str:
        return checked(self.target)


class CreateAgain(Create):
    """The image is one in which an earlier run was killed."""

    name = "snapshot: create after a kill"
    points = ("snapshot:after-recover",)
    variant = True
    full_sizes = ()

    def fresh(self) -> None:
        super().fresh()
        self.room.call(self.module, self.options, fault="snapshot:before-create:kill")


class Revert(Create):
    """Back to a snapshot, in the image."""

    name = "snapshot: revert"
    points = (*_IN_PLACE, "snapshot:before-revert", "snapshot:after-revert")
    asked: ClassVar[dict[str, Any]] = {"name": "old", "state": "reverted"}
    after = ("a-old", "old")
    reverts = True
    cluster = "4096"


class RevertOnCopy(Revert):
    """Back to a snapshot on a copy, since the table takes more than one write."""

    name = "snapshot: revert on a copy"
    points = ("snapshot:copied", "snapshot:before-revert", "snapshot:after-revert", "snapshot:before-publish")
    cluster = "512"
    in_place = False


class Delete(Create):
    """A snapshot goes."""

    name = "snapshot: delete"
    points = (*_IN_PLACE, "snapshot:before-delete", "snapshot:after-delete")
    asked: ClassVar[dict[str, Any]] = {"name": "old", "state": "absent"}
    after = ("a-old",)


class Keep(Create):
    """One of those with a prefix stays."""

    name = "snapshot: keep"
    points = ("snapshot:before-delete", "snapshot:after-delete")
    variant = True
    asked: ClassVar[dict[str, Any]] = {"keep": 0, "prefix": "a-"}
    after = ("old",)


SCENARIOS = (Create, CreateAgain, Revert, RevertOnCopy, Delete, Keep)
