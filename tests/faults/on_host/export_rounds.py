# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Exports and imports: an archive, an archive that is packed, a folder that takes another one's place."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from typing import Any, ClassVar

from scenario import NEW, OLD, Scenario, checked, random_bytes, same_content, same_file

_MEBIBYTES = 12
_RECORD = r"imageops-partial-record-\d+\.json$"
_EXPORT = ("export:before-write", "export:disk-written", "export:before-publish", "export:after-publish")
_IMPORT = ("import:before-write", "import:disk-written", "import:before-publish", "import:after-publish")


def visible(folder: str) -> list[str]:
    """Names of the files that people see."""
    return sorted(name for name in os.listdir(folder) if not name.startswith("."))


class ToOva(Scenario):
    """A raw disk becomes an OVA, over an older one."""

    name = "export: OVA"
    module, kind = "image_export", "export"
    points = (*_EXPORT, "export:while-writing")
    engines = False
    image = "web.ova"
    preset = "ova"
    # Of a file system with small attributes the record is a file, which is no litter.
    kept = garbage = _RECORD
    more: ClassVar[dict[str, Any]] = {}

    @property
    def target(self) -> str:
        return self.path(self.image)

    @property
    def source(self) -> str:  # type: ignore[override]
        return self.path("source.raw")

    def asks(self, source: str, dest: str) -> dict[str, Any]:
        """The options of one export; of equal sources and options the bytes are equal."""
        disks = [{"path": source, "format": "raw"}]
        # Whatever is there may be replaced: the older one is a copy, which no record of ours is true of.
        return {"disks": disks, "dest": dest, "preset": self.preset, "name": "web", "force": True, **self.more}

    @property
    def options(self) -> dict[str, Any]:
        return self.asks(self.source, self.target)

    def prepare(self) -> None:
        master = self.room.master
        random_bytes(f"{master}/source.raw", _MEBIBYTES)
        os.truncate(f"{master}/source.raw", (_MEBIBYTES + 4) << 20)
        random_bytes(f"{master}/old.raw", 2)
        for source, made in (("old.raw", "old"), ("source.raw", "new")):
            self.made(f"{master}/{source}", f"{master}/{made}{self.suffix}")

    @property
    def suffix(self) -> str:
        return os.path.splitext(self.image)[1]

    def made(self, source: str, dest: str) -> None:
        said = self.room.call(self.module, self.asks(source, dest))
        if not said.get("changed"):
            raise RuntimeError(f"{dest} could not be made: {said}")

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        self.room.copy("source.raw", f"old{self.suffix}")
        os.rename(self.path(f"old{self.suffix}"), self.target)

    def look(self) -> str:
        for made, what in (("old", OLD), ("new", NEW)):
            if same_file(self.target, f"{self.room.master}/{made}{self.suffix}"):
                return what
        return "something else" if os.path.exists(self.target) else "absent"

    def problems(self) -> str:
        """Just one record, that of the file that is there."""
        folder = self.target if os.path.isdir(self.target) else self.room.disk
        inodes = {str(os.stat(f"{folder}/{name}").st_ino) for name in os.listdir(folder)}
        records = [name for name in os.listdir(folder) if re.search(_RECORD, name)]
        odd = [name for name in records if re.findall(r"\d+", name)[-1] not in inodes]
        return f"records of what isn't there: {odd}" if odd or len(records) > 1 else ""


class ToBox(ToOva):
    """A Vagrant box, for which the disk is written beside first."""

    name = "export: box"
    variant = True
    points = (*_EXPORT, "export:while-writing", "export:while-packing")
    image, preset = "web.box", "vagrant"


class ToFolder(ToOva):
    """A folder that is exchanged for an older one."""

    name = "export: folder"
    variant = True
    points = _EXPORT
    image, preset = "web", "vmware"

    @property
    def written(self) -> str:
        return "none"

    def fresh(self) -> None:
        """The older one is made each time: its record is true of no copy."""
        self.room.empty(self.room.disk)
        shutil.copy(f"{self.room.master}/old.raw", self.source)
        self.made(self.source, self.target)
        os.unlink(self.source)
        self.room.copy("source.raw")

    def look(self) -> str:
        for made, what in (("old", OLD), ("new", NEW)):
            if self._is(f"{self.room.master}/{made}"):
                return what
        return "something else" if os.path.exists(self.target) else "absent"

    def _is(self, other: str) -> bool:
        if not os.path.isdir(self.target) or visible(self.target) != visible(other):
            return False
        return not filecmp.cmpfiles(self.target, other, visible(other), shallow=False)[1]


class FromOva(ToFolder):
    """An OVA becomes a disk, over an older one."""

    name = "import: OVA"
    module, kind = "image_import", "import"
    points = (*_IMPORT, "import:while-writing")
    preset, packed = "ova", "ova"
    engines = True
    replaceable = False

    @property
    def source(self) -> str:  # type: ignore[override]
        return self.path(f"source.{self.packed}")

    @property
    def options(self) -> dict[str, Any]:
        return {"src": self.source, "dest": self.target, "name": "web", "force": True}

    def prepare(self) -> None:
        master = self.room.master
        random_bytes(f"{master}/source.raw", _MEBIBYTES)
        os.truncate(f"{master}/source.raw", (_MEBIBYTES + 4) << 20)
        random_bytes(f"{master}/old.raw", 2)
        for name in ("source", "old"):
            said = self.room.call("image_export", self.asks(f"{master}/{name}.raw", f"{master}/{name}.{self.packed}"))
            if not said.get("changed"):
                raise RuntimeError(f"the package could not be made: {said}")

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        shutil.copy(f"{self.room.master}/old.{self.packed}", self.source)
        said = self.room.call(self.module, self.options)
        if not said.get("changed"):
            raise RuntimeError(f"the older import could not be made: {said}")
        os.unlink(self.source)
        self.room.copy(f"source.{self.packed}")

    def look(self) -> str:
        disk = f"{self.target}/web-disk1.qcow2"
        if not os.path.isdir(self.target) or visible(self.target) != ["web-disk1.qcow2"]:
            return f"something else: {os.listdir(self.room.disk)}"
        for name, what in (("old", OLD), ("source", NEW)):
            if same_content(disk, "qcow2", f"{self.room.master}/{name}.raw"):
                return what
        return "something else"

    def problems(self) -> str:
        return super().problems() or checked(f"{self.target}/web-disk1.qcow2")


class FromBox(FromOva):
    """A box, which is read as a stream."""

    name = "import: box"
    variant = True
    points = (*_IMPORT, "import:while-extracting")
    preset, packed = "vagrant", "box"
    engines = False


SCENARIOS = (ToOva, ToBox, ToFolder, FromOva, FromBox)
