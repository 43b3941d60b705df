# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversions: one scenario for each way that goes through code of its own."""

from __future__ import annotations

import hashlib
import os
from typing import Any, ClassVar

from processes import run
from scenario import NEW, OLD, Scenario, checked, random_bytes, same_content, same_file

MOMENTS = ("convert:before-write", "convert:before-verify", "convert:before-publish", "convert:after-publish")
_MEBIBYTES = 12


class ToQcow2(Scenario):
    """Raw to qcow2 by qemu-img, over an older image."""

    name = "convert: qemu-img"
    module = "disk_convert"
    kind = "convert"
    points = MOMENTS
    format = "qcow2"
    image = "image.qcow2"
    more: ClassVar[dict[str, Any]] = {}

    @property
    def target(self) -> str:
        return self.path(self.image)

    @property
    def source(self) -> str:  # type: ignore[override]
        return self.path("source.raw")

    @property
    def options(self) -> dict[str, Any]:
        # Whatever is there may be replaced: the older image is a copy, which no record of ours is true of.
        given = {"src": self.source, "src_format": "raw", "dest": self.target, "format": self.format, "force": True}
        return {**given, **self.more}

    def prepare(self) -> None:
        master = self.room.master
        random_bytes(f"{master}/source.raw", _MEBIBYTES)
        os.truncate(f"{master}/source.raw", (_MEBIBYTES + 4) << 20)
        random_bytes(f"{master}/old.raw", 2)
        self.make_old()

    def make_old(self) -> None:
        master = self.room.master
        run("qemu-img", "convert", "-f", "raw", "-O", self.format, f"{master}/old.raw", f"{master}/{self.image}")

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        self.room.copy("source.raw", self.image)

    def look(self) -> str:
        if same_file(self.target, f"{self.room.master}/{self.image}"):
            return OLD
        if not os.path.exists(self.target):
            return "absent"
        return NEW if self.is_new() else "something else"

    def is_new(self) -> bool:
        return same_content(self.target, self.format, f"{self.room.master}/source.raw")

    def problems(self) -> str:
        return checked(self.target, self.format) if self.format in ("qcow2", "vmdk") else ""


class ByWriter(ToQcow2):
    """Compressed qcow2 by our own writer."""

    name = "convert: own writer, qcow2"
    points = (*MOMENTS, "convert:while-writing")
    more: ClassVar[dict[str, Any]] = {"options": {"compress": True, "compression_type": "zlib"}}


class ToStream(ByWriter):
    """streamOptimized VMDK by our own writer."""

    name = "convert: own writer, VMDK"
    variant = True
    format, image = "vmdk", "image.vmdk"
    more: ClassVar[dict[str, Any]] = {"options": {"subformat": "streamOptimized"}}


class Proven(ToQcow2):
    """The source has a checksum to prove before anything is written."""

    name = "convert: checksum"
    points = ("convert:while-hashing",)
    variant = True

    @property
    def options(self) -> dict[str, Any]:
        with open(f"{self.room.master}/source.raw", "rb") as stream:
            return {**super().options, "checksum": f"sha256:{hashlib.sha256(stream.read()).hexdigest()}"}


class Encrypted(ToQcow2):
    """A qcow2 image with a LUKS header; the passphrase goes through a pipe."""

    name = "convert: LUKS"
    variant = True
    more: ClassVar[dict[str, Any]] = {"passphrase": "drowssap", "options": {"iter_time": 10}}

    def problems(self) -> str:
        """QEMU checks nothing without the passphrase, and with it only what the comparison reads."""
        return ""

    def is_new(self) -> bool:
        secret = ("--object", f"secret,id=key,data={self.more['passphrase']}")
        node = f"driver=qcow2,encrypt.key-secret=key,file.driver=file,file.filename={self.target}"
        other = f"driver=raw,file.driver=file,file.filename={self.room.master}/source.raw"
        return run("qemu-img", "compare", "-q", *secret, "--image-opts", node, other, check=False).returncode == 0


class SeveralFiles(ToQcow2):
    """A VMDK of several files over one of several files."""

    name = "convert: VMDK of several files"
    variant = True
    format, image = "vmdk", "image.vmdk"
    points = (
        *MOMENTS,
        "convert:before-note",
        "convert:after-note",
        "convert:before-extent",
        "convert:after-extent",
        "convert:after-tidy",
    )
    more: ClassVar[dict[str, Any]] = {"options": {"subformat": "twoGbMaxExtentSparse"}}

    def make_old(self) -> None:
        """Made by the module each time: its record names the extents, and is true of no copy."""

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        self.room.copy("source.raw", "old.raw")
        said = self.room.call(self.module, {**self.options, "src": self.path("old.raw")})
        if not said.get("changed"):
            raise RuntimeError(f"the older image could not be made: {said}")

    def look(self) -> str:
        if not os.path.exists(self.target):
            return "absent"
        if same_content(self.target, self.format, f"{self.room.master}/old.raw"):
            return OLD
        return NEW if self.is_new() else "something else"

    def problems(self) -> str:
        """Just one extent is there."""
        extents = [name for name in os.listdir(self.room.disk) if name.endswith(".vmdk") and name != self.image]
        return "" if len(extents) == 1 else f"extents: {extents}"


class RemovedFiles(SeveralFiles):
    """The image of several files is removed, by the module itself."""

    name = "disk: several files removed"
    variant = True
    module, kind = "disk", ""
    points = ("disk:after-note", "disk:before-extents")
    engines = False
    full_sizes = ()
    source = ""  # type: ignore[assignment]

    @property
    def options(self) -> dict[str, Any]:
        return {"path": self.target, "state": "absent"}

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        self.room.copy("old.raw")
        made = {"src": self.path("old.raw"), "src_format": "raw", "dest": self.target, "format": "vmdk", **self.more}
        said = self.room.call("disk_convert", made)
        if not said.get("changed"):
            raise RuntimeError(f"the image could not be made: {said}")

    def look(self) -> str:
        return NEW if not os.path.exists(self.target) else super().look()

    def problems(self) -> str:
        left = [name for name in os.listdir(self.room.disk) if name != "old.raw"]
        return f"still there: {left}" if left else ""


class Reflink(ToQcow2):
    """Shared blocks on XFS, by the module itself."""

    name = "convert: reflink"
    kind = ""
    format, image = "raw", "image.raw"
    more: ClassVar[dict[str, Any]] = {"method": "reflink"}
    engines = False
    full_sizes = ()
    file_system = ("mkfs.xfs", "-q", "-m", "reflink=1")
    mebibytes = 320


class OnDevice(ToQcow2):
    """Onto a block device, which is marked as unfinished while it is neither old nor new."""

    name = "convert: block device"
    points = (*MOMENTS, "convert:before-mark")
    format = "raw"
    in_place = True
    full_sizes = ()
    device = ""

    @property
    def target(self) -> str:
        return self.device

    def make_old(self) -> None:
        os.truncate(f"{self.room.master}/old.raw", (_MEBIBYTES + 4) << 20)

    def prepare(self) -> None:
        super().prepare()
        self.room.copy("old.raw")
        self.device = run("losetup", "-f", "--show", self.path("old.raw")).stdout.strip()

    def end(self) -> None:
        run("losetup", "-d", self.device, check=False)

    def fresh(self) -> None:
        self.room.copy("source.raw")
        run("dd", f"if={self.room.master}/old.raw", f"of={self.device}", "bs=1M", "oflag=direct", "status=none")

    def look(self) -> str:
        for master, what in (("old.raw", OLD), ("source.raw", NEW)):
            if run("cmp", "-s", f"{self.room.master}/{master}", self.device, check=False).returncode == 0:
                return what
        # Devices have no second name: the mark says so, and no other task takes what is there for an image.
        return OLD if self._is_marked() else "neither, and not marked"

    def _is_marked(self) -> bool:
        folder = f"{self.room.state}/devices"
        return any('"record": null' in open(f"{folder}/{name}", encoding="utf-8").read() for name in os.listdir(folder))


SCENARIOS = (
    ToQcow2,
    ByWriter,
    ToStream,
    Proven,
    Encrypted,
    SeveralFiles,
    RemovedFiles,
    Reflink,
    OnDevice,
)
