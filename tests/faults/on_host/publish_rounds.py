# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images published to a catalog in a folder: whatever happens, each name in it names a whole image."""

from __future__ import annotations

import os
from typing import Any, ClassVar

from catalog import Catalog, Damaged, sha256
from processes import run
from scenario import NEW, OLD, Scenario, random_bytes

_MEBIBYTES = 12
_OWN = 3


class Publish(Scenario):
    """A new version beside an older one, which shares most of its blocks; under two tags, and an alias moves to it."""

    name = "publish: new version"
    module, kind = "image_publish", "publish"
    points = (
        "publish:while-reading",
        "publish:pack-noted",
        "publish:pack-stored",
        "publish:described",
        "publish:before-manifest",
        "publish:after-manifest",
        "publish:before-name",
        "publish:noted",
        "catalog:before-index",
    )
    # What was sent stays for the next run, and halves of blobs for the next pruning.
    garbage = r"/blobs/sha256/\."
    kept = rf"{garbage}|/publishes/"
    in_place = True
    engines = False
    tag = "2"
    more: ClassVar[dict[str, Any]] = {"tags": ["2.0"], "aliases": ["candidate"]}

    def __init__(self, room: Any) -> None:
        super().__init__(room)
        self.catalog = Catalog(self.path("catalog"))
        self.rounds = 0

    @property
    def repository(self) -> str:
        return f"dir:{self.catalog.path}"

    @property
    def origin(self) -> str:
        """The repository in which everything is made as it begins."""
        return f"dir:{self.room.master}/catalog"

    @property
    def target(self) -> str:
        return f"{self.repository}:{self.tag}"

    @property
    def written(self) -> str:
        return f"{self.catalog.path}/index.json"

    @property
    def source(self) -> str:  # type: ignore[override]
        return self.path("source.raw")

    @property
    def options(self) -> dict[str, Any]:
        return {"image": self.target, "disks": [{"path": self.source, "format": "raw"}], **self.more}

    def prepare(self) -> None:
        master = self.room.master
        random_bytes(f"{master}/old.raw", _MEBIBYTES)
        os.truncate(f"{master}/old.raw", (_MEBIBYTES + 4) << 20)
        run("cp", "--sparse=always", f"{master}/old.raw", f"{master}/source.raw")
        with open(f"{master}/source.raw", "r+b") as stream:
            stream.seek(2 << 20)
            stream.write(os.urandom(_OWN << 20))
        self.publish_old()
        self._old, self._new = sha256(f"{master}/old.raw"), sha256(f"{master}/source.raw")

    def publish_old(self) -> None:
        self.made({"image": f"{self.origin}:1", "disks": self.old_disks, "aliases": ["candidate"]})

    @property
    def old_disks(self) -> list[dict[str, str]]:
        return [{"path": f"{self.room.master}/old.raw", "format": "raw"}]

    def call(self, module: str, options: dict[str, Any]) -> dict[str, Any]:
        return self.room.call(module, options)

    def made(self, options: dict[str, Any]) -> None:
        said = self.call(self.module, options)
        if not said.get("changed"):
            raise RuntimeError(f"the older image could not be made: {said}")

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        run("cp", "-a", f"{self.room.master}/catalog", self.catalog.path)
        self.room.copy("source.raw")

    def look(self) -> str:
        try:
            return self.catalog.problems() or self._seen(self.catalog.tags())
        except (Damaged, KeyError, ValueError) as error:
            return f"not to be read: {error!r}"

    def _seen(self, tags: dict[str, str]) -> str:
        if self.catalog.content("1") != self._old:
            return "the older version is another one"
        if tags["candidate"] not in (tags["1"], tags.get(self.tag)):
            return "the alias points at neither"
        if self.tag not in tags:
            return OLD
        return NEW if self.catalog.content(self.tag) == self._new else "something else"

    def problems(self) -> str:
        """All names are there; and pruning takes nothing that is needed, and leaves nothing else."""
        tags = self.catalog.tags()
        if not tags[self.tag] == tags["2.0"] == tags["candidate"]:
            return f"not all names point at the new image: {tags}"
        return self.pruned()

    def pruned(self) -> str:
        """What is wrong after pruning, which comes in each fourth round."""
        self.rounds += 1
        if self.rounds % 4 != 1:
            return ""
        said = self.call("image_prune", {"repository": self.repository, "keep": 9, "grace": "0s", "in_use": []})
        if said.get("failed") or self.look() != NEW or self.catalog.unnamed():
            return f"pruning: {said.get('msg')}; {self.look()}; nothing names {self.catalog.unnamed()}"
        return ""


class MovedTag(Publish):
    """The tag of the older version comes to name the new one."""

    name = "publish: moved tag"
    variant = True
    sampled = False
    points = ("publish:before-manifest", "publish:after-manifest", "catalog:before-index")
    tag = "1"
    more: ClassVar[dict[str, Any]] = {"move_tag": True}
    full_sizes = (0, 3)

    def publish_old(self) -> None:
        self.made({"image": f"{self.origin}:1", "disks": self.old_disks})

    def _seen(self, tags: dict[str, str]) -> str:
        found = self.catalog.content("1")
        return {self._old: OLD, self._new: NEW}.get(found, "something else")

    def problems(self) -> str:
        return self.pruned()


class SeveralPacks(Publish):
    """So much is new that it comes in several packs: an interrupted run's are not sent again."""

    name = "publish: several packs"
    variant = True
    sampled = False
    points = ("publish:pack-noted", "publish:pack-stored")
    more: ClassVar[dict[str, Any]] = {"tags": ["2.0"], "aliases": ["candidate"], "bandwidth": "60M"}
    full_sizes = ()
    # It is more than fits on a disk that dies.
    written = ""  # type: ignore[assignment]

    def prepare(self) -> None:
        super().prepare()
        random_bytes(f"{self.room.master}/source.raw", 80)
        self._new = sha256(f"{self.room.master}/source.raw")


class Container(Publish):
    """A container's image with the disk as qcow2, for KubeVirt."""

    name = "publish: containerDisk"
    variant = True
    sampled = False
    points = ("publish:pack-noted", "publish:pack-stored", "publish:described", "publish:before-manifest")
    more: ClassVar[dict[str, Any]] = {"layout": "containerdisk"}
    full_sizes = (0, 3, 10)

    def _seen(self, tags: dict[str, str]) -> str:
        if self.catalog.content("1") != self._old:
            return "the older version is another one"
        return NEW if self.tag in tags else OLD

    def problems(self) -> str:
        """The layer holds just the disk."""
        (layer,) = self.catalog.manifest(self.catalog.tags()[self.tag])["layers"]
        folder = self.room.temp
        packed = f"{self.catalog.path}/blobs/sha256/{layer['digest'].partition(':')[2]}"
        run("tar", "-xzf", packed, "-C", folder)
        (name,) = os.listdir(f"{folder}/disk")
        same = run(
            "qemu-img", "compare", "-q", "-f", "qcow2", "-F", "raw", f"{folder}/disk/{name}", self.source, check=False
        )
        return self.pruned() if same.returncode == 0 else "the layer holds another disk"


SCENARIOS = (Publish, MovedTag, SeveralPacks, Container)
