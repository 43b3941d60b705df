# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repairs, reading, compaction: the image is the old one or the new one, and guests see the same in both."""

from __future__ import annotations

import hashlib
import json
import os
import struct
from typing import Any, ClassVar

from processes import run
from scenario import NEW, OLD, Scenario, checked, random_bytes, same_content, same_file

_CLUSTER = 1024
# Where the partition begins.
_OFFSET = 1 << 20


class Repair(Scenario):
    """Clusters of data count as free."""

    name = "check: repair all"
    module = "disk_check"
    kind = "repair"
    points = (
        "repair:copied",
        "repair:repaired",
        "repair:before-backup",
        "repair:before-publish",
        "repair:after-publish",
    )
    how = "all"
    # With `all` the original stays, under a hidden name until the next run when this one dies.
    kept = "imageops-partial-backup"

    @property
    def target(self) -> str:
        return self.path("image.qcow2")

    @property
    def options(self) -> dict[str, Any]:
        return {"path": self.target, "repair": self.how}

    def prepare(self) -> None:
        master, data = self.room.master, f"{self.room.temp}/data.raw"
        random_bytes(data, 5)
        sound = f"{master}/sound.qcow2"
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", f"cluster_size={_CLUSTER}", data, sound)
        run("cp", sound, f"{master}/image.qcow2")
        self.damage(f"{master}/image.qcow2")

    def damage(self, path: str) -> None:
        with open(path, "r+b") as stream:
            stream.seek(_block(stream, 1) + 64)
            stream.write(bytes(512))

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        self.room.copy("image.qcow2")

    def look(self) -> str:
        if same_file(self.target, f"{self.room.master}/image.qcow2"):
            return OLD
        if not same_content(self.target, "qcow2", f"{self.room.master}/sound.qcow2", other_format="qcow2"):
            return "another content"
        return checked(self.target) or NEW

    def problems(self) -> str:
        return checked(self.target)


class RepairLeaks(Repair):
    """A cluster at the end is counted and used by nobody."""

    name = "check: repair leaks"
    variant = True
    how = "leaks"

    def damage(self, path: str) -> None:
        count = os.path.getsize(path) // _CLUSTER
        with open(path, "r+b") as stream:
            place = _block(stream, count // (_CLUSTER // 2)) + 2 * (count % (_CLUSTER // 2))
            stream.truncate((count + 1) * _CLUSTER)
            stream.seek(place)
            stream.write(b"\0\1")


def _block(stream: Any, number: int) -> int:
    """Where a block of reference counts is (qcow2 header: the table's place at byte 48)."""
    stream.seek(48)
    table = struct.unpack(">Q", stream.read(8))[0]
    stream.seek(table + 8 * number)
    return int(struct.unpack(">Q", stream.read(8))[0])


class Read(Repair):
    """A checksum of what guests see; the image is never touched."""

    name = "check: checksum"
    kind = "read"
    points = ("read:before-verify",)
    done = OLD
    full_sizes = ()
    kept = ""

    @property
    def options(self) -> dict[str, Any]:
        return {"path": self.target, "checksum": "sha256"}

    @property
    def job(self) -> str:
        """Each question about an image is a job of its own."""
        asked = {"checksum": "sha256", "format": None, "bandwidth": None, "compare_to": None, "compare_format": None}
        question = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()
        return f"{super().job}-{hashlib.sha256(question.encode()).hexdigest()[:16]}"

    @property
    def source(self) -> str:  # type: ignore[override]
        return self.target

    def damage(self, path: str) -> None:
        """It is sound."""


class Compact(Scenario):
    """Zeros that take space go, by qemu-img."""

    name = "compact: zeros"
    module = "disk_compact"
    kind = "compact"
    points = (
        "compact:before-rewrite",
        "compact:rewritten",
        "compact:before-verify",
        "compact:before-publish",
        "compact:after-publish",
    )
    more: ClassVar[dict[str, Any]] = {}

    @property
    def target(self) -> str:
        return self.path("image.qcow2")

    @property
    def options(self) -> dict[str, Any]:
        return {"path": self.target, "discard": "never", **self.more}

    def prepare(self) -> None:
        disk, image = f"{self.room.master}/disk.raw", f"{self.room.master}/image.qcow2"
        random_bytes(disk, 4)
        with open(disk, "ab") as stream:
            stream.write(b"".join(b"%d\n" % number for number in range(600_000)))
            stream.truncate(16 << 20)
        run("qemu-img", "convert", "-S", "0", "-f", "raw", "-O", "qcow2", disk, image)

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        run("cp", "--sparse=never", f"{self.room.master}/image.qcow2", self.target)

    def look(self) -> str:
        if same_file(self.target, f"{self.room.master}/image.qcow2"):
            return OLD
        if not same_content(self.target, "qcow2", f"{self.room.master}/disk.raw"):
            return "another content"
        return checked(self.target) or NEW

    def problems(self) -> str:
        sizes = [os.path.getsize(path) for path in (f"{self.room.master}/image.qcow2", self.target)]
        return checked(self.target) or ("" if sizes[1] < sizes[0] else f"it isn't smaller: {sizes}")


class CompactByWriter(Compact):
    """Compressed anew by our own writer."""

    name = "compact: own writer"
    points = (*Compact.points, "compact:while-writing")
    more: ClassVar[dict[str, Any]] = {"compression": "zlib"}


class CompactGuest(Compact):
    """What the guest's file system doesn't need goes, and its partition grows; libguestfs starts a machine for both."""

    name = "compact: guest"
    points = ("compact:copied", "compact:discarded", "compact:grown")
    slow = True
    needs = ("virt-resize", "virt-sparsify", "guestfish")
    full_sizes = ()
    more: ClassVar[dict[str, Any]] = {"discard": "always", "size": "56M", "grow_partition": "last"}

    def prepare(self) -> None:
        master, folder = self.room.master, f"{self.room.temp}/files"
        disk = f"{master}/disk.raw"
        os.makedirs(folder)
        random_bytes(f"{folder}/content", 2)
        run("cp", f"{folder}/content", f"{master}/content")
        random_bytes(disk, 40)
        with open(disk, "r+b") as stream:
            # A partition table of one entry: its type, first sector, count of sectors.
            stream.write(bytes(446) + struct.pack("<B3sB3sII", 0, b"", 0x83, b"", _OFFSET // 512, (39 << 20) // 512))
            stream.write(bytes(48) + b"\x55\xaa")
        # What is random stays, for the compaction to find.
        run("mkfs.ext4", "-q", "-d", folder, "-E", f"offset={_OFFSET},nodiscard", disk, "39m")
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", disk, f"{master}/image.qcow2")

    def look(self) -> str:
        if same_file(self.target, f"{self.room.master}/image.qcow2"):
            return OLD
        disk, part = f"{self.room.temp}/seen.raw", f"{self.room.temp}/part.raw"
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", self.target, disk)
        run("dd", f"if={disk}", f"of={part}", "bs=1M", "skip=1", "status=none")
        sound = run("e2fsck", "-f", "-n", part, check=False).returncode == 0
        run("debugfs", "-R", f"dump content {self.room.temp}/content", part)
        if not sound or not same_file(f"{self.room.temp}/content", f"{self.room.master}/content"):
            return "another content"
        return checked(self.target) or NEW


SCENARIOS = (Repair, RepairLeaks, Read, Compact, CompactByWriter, CompactGuest)
