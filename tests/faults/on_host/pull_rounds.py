# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images pulled from a catalog: the name shows the file of before or the whole image, whatever happens."""

from __future__ import annotations

import os
import threading
from functools import partial
from typing import Any, ClassVar

from catalog import Catalog
from processes import run
from room import Room
from scenario import NEW, OLD, Scenario, checked, random_bytes, same_content, same_file
from web import Web

_MEBIBYTES = 12


class Pull(Scenario):
    """All of an image, over an older file, as qcow2."""

    name = "pull: qcow2"
    module, kind = "image_pull", "pull"
    points = (
        "pull-image:before-partial",
        "pull-image:partial-made",
        "pull-image:while-fetching",
        "pull-image:before-header",
        "pull-image:before-publish",
        "pull-image:after-publish",
    )
    # What came is there for the next run.
    kept = r"imageops-partial|/pulls/"
    in_place = True
    engines = False
    format = "qcow2"
    more: ClassVar[dict[str, Any]] = {"seeds": []}

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self.catalog = Catalog(f"{room.master}/catalog")

    @property
    def target(self) -> str:
        return self.path(f"image.{self.format}")

    @property
    def source(self) -> str:  # type: ignore[override]
        """The only pack that the new version has of its own."""
        return next(pack for pack in self.catalog.packs("2") if pack not in self.catalog.packs("1"))

    @property
    def image(self) -> str:
        return f"dir:{self.catalog.path}:2"

    @property
    def options(self) -> dict[str, Any]:
        # Whatever is there may be replaced: the older file is a copy, which no record of ours is true of.
        return {"image": self.image, "dest": self.target, "format": self.format, "force": True, **self.more}

    def prepare(self) -> None:
        master = self.room.master
        random_bytes(f"{master}/old.raw", _MEBIBYTES)
        os.truncate(f"{master}/old.raw", (_MEBIBYTES + 4) << 20)
        run("cp", "--sparse=always", f"{master}/old.raw", f"{master}/source.raw")
        with open(f"{master}/source.raw", "r+b") as stream:
            stream.seek(2 << 20)
            stream.write(os.urandom(5 << 20))
        for tag, disk in (("1", "old"), ("2", "source")):
            disks = [{"path": f"{master}/{disk}.raw", "format": "raw"}]
            self.call("image_publish", {"image": f"dir:{self.catalog.path}:{tag}", "disks": disks})
        run("qemu-img", "convert", "-f", "raw", "-O", self.format, f"{master}/old.raw", f"{master}/image.{self.format}")

    def call(self, module: str, options: dict[str, Any]) -> None:
        said = self.room.call(module, options)
        if said.get("failed") or said.get("lost"):
            raise RuntimeError(f"{module}: {said}")

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        self.room.copy(f"image.{self.format}")

    def look(self) -> str:
        if same_file(self.target, f"{self.room.master}/image.{self.format}"):
            return OLD
        if not os.path.exists(self.target):
            return "absent"
        return NEW if same_content(self.target, self.format, f"{self.room.master}/source.raw") else "something else"

    def problems(self) -> str:
        return checked(self.target, self.format) if self.format == "qcow2" else ""


class PullRaw(Pull):
    """As raw, slower than the whole of it comes at once."""

    name = "pull: raw"
    variant = True
    sampled = False
    points = ("pull-image:while-fetching", "pull-image:before-header", "pull-image:before-publish")
    format = "raw"
    more: ClassVar[dict[str, Any]] = {"seeds": [], "bandwidth": "12M", "connections": 2}
    full_sizes = (0, 6)


class Delta(Pull):
    """Most blocks are in the older version, which this host holds."""

    name = "pull: delta"
    variant = True
    points = ("pull-image:while-reusing", "pull-image:while-fetching")
    more: ClassVar[dict[str, Any]] = {}
    full_sizes = (0, 3, 6)

    def fresh(self) -> None:
        for name in os.listdir(self.room.disk):
            if name not in ("lost+found", self._base):
                os.unlink(self.path(name))
        # It is known as held only where it was pulled to, which may be another disk now.
        self.call(
            "image_pull",
            {
                "image": f"dir:{self.catalog.path}:1",
                "dest": self.path(self._base),
                "format": self.format,
                "force": True,
            },
        )
        self.room.copy(f"image.{self.format}")

    @property
    def _base(self) -> str:
        return f"base.{self.format}"


class Reflink(Delta):
    """Blocks that both have are shared, on XFS."""

    name = "pull: delta by reflinks"
    sampled = False
    points = ("pull-image:while-reusing",)
    full_sizes = ()
    file_system = ("mkfs.xfs", "-q", "-m", "reflink=1")
    mebibytes = 320


class FromWeb(Pull):
    """From a web server that shows the layout."""

    name = "pull: HTTP"
    variant = True
    sampled = False
    points = ("pull-image:while-fetching", "pull-image:before-publish")
    full_sizes = ()

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._web: Web | None = None

    @property
    def image(self) -> str:
        return f"http://127.0.0.1:{self._web.port if self._web else 0}/catalog:2"

    def prepare(self) -> None:
        super().prepare()
        self._web = Web(self.room.master)
        threading.Thread(target=partial(self._web.serve_forever, 0.05), daemon=True).start()

    def end(self) -> None:
        if self._web:
            self._web.shutdown()


class PullContainer(Pull):
    """The disk of a container's image, by way of qemu-img."""

    name = "pull: containerDisk"
    variant = True
    points = ("pull-image:container-fetched", "pull-image:before-publish")
    engines = True
    full_sizes = (0, 6)
    more: ClassVar[dict[str, Any]] = {}

    @property
    def image(self) -> str:
        return f"dir:{self.catalog.path}:3"

    @property
    def source(self) -> str:  # type: ignore[override]
        (layer,) = self.catalog.manifest(self.catalog.tags()["3"])["layers"]
        return f"{self.catalog.path}/blobs/sha256/{layer['digest'].partition(':')[2]}"

    def prepare(self) -> None:
        super().prepare()
        disks = [{"path": f"{self.room.master}/source.raw", "format": "raw"}]
        self.call("image_publish", {"image": self.image, "disks": disks, "layout": "containerdisk"})


SCENARIOS = (Pull, PullRaw, Delta, Reflink, FromWeb, PullContainer)
