# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What looks after a catalog: pruning, aliases and signatures; the modules do it themselves, without a job."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from catalog import Catalog, Damaged, sha256
from processes import run
from room import Room
from scenario import NEW, OLD, Scenario, random_bytes

_VERSIONS = ("1", "2", "3", "4")


class Keeping(Scenario):
    """A catalog with four versions; `stable` is the second one and was the first, and the first is signed."""

    engines = False
    in_place = True
    garbage = kept = r"/blobs/sha256/\."
    full_sizes = (0,)

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self.catalog = Catalog(self.path("catalog"))

    @property
    def repository(self) -> str:
        return f"dir:{self.catalog.path}"

    @property
    def origin(self) -> str:
        """The repository in which everything is made as it begins."""
        return f"dir:{self._made}/catalog"

    @property
    def target(self) -> str:
        return self.repository

    @property
    def _made(self) -> str:
        """Where the catalog is made, once for all scenarios of a lane."""
        return f"{os.path.dirname(self.room.folder)}/kept-catalog"

    @property
    def key(self) -> str:
        return f"{self._made}/key"

    @property
    def written(self) -> str:
        return f"{self.catalog.path}/index.json"

    def prepare(self) -> None:
        if not os.path.exists(self._made):
            os.mkdir(self._made)
            self.make()
        self.contents = {tag: sha256(f"{self._made}/{tag}.raw") for tag in _VERSIONS}
        self.fresh()
        self.digests = self.catalog.tags()

    def make(self) -> None:
        """Make it."""
        repository = self.origin
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "fault tests", "-f", self.key)
        for tag in _VERSIONS:
            path = f"{self._made}/{tag}.raw"
            random_bytes(path, 1)
            self.call("image_publish", {"image": f"{repository}:{tag}", "disks": [{"path": path, "format": "raw"}]})
            # Which is the newest is told in whole seconds.
            time.sleep(1)
        for version in ("1", "2"):
            self.call("image_alias", {"repository": repository, "alias": "stable", "version": version})
        self.call("image_sign", {"image": f"{repository}:1", "key": self.key})

    def call(self, module: str, options: dict[str, Any]) -> None:
        said = self.room.call(module, options)
        if not said.get("changed"):
            raise RuntimeError(f"{module}: {said}")

    def fresh(self) -> None:
        self.room.empty(self.room.disk)
        run("cp", "-a", f"{self._made}/catalog", self.catalog.path)

    def look(self) -> str:
        try:
            return self.catalog.problems() or self._versions() or self.seen()
        except (Damaged, KeyError, ValueError) as error:
            return f"not to be read: {error!r}"

    def _versions(self) -> str:
        """What is wrong with the versions that are there."""
        there = [tag for tag in _VERSIONS if tag in self.catalog.tags()]
        return "".join(f"{tag} is another one; " for tag in there if self.catalog.content(tag) != self.contents[tag])

    def seen(self) -> str:
        raise NotImplementedError


class Prune(Keeping):
    """The newest version stays, and what the alias points at."""

    name = "prune: old versions"
    module = "image_prune"
    points = ("prune:before-manifest", "prune:before-referrers", "prune:before-garbage")
    # What nothing names is what is to go.
    garbage = ""

    @property
    def options(self) -> dict[str, Any]:
        return {"repository": self.target, "keep": 1, "grace": "0s", "in_use": [], "keep_rollback": False}

    def fresh(self) -> None:
        super().fresh()
        for name in ("a" * 64, f".{'b' * 64}.imageops-partial-1"):
            with open(f"{self.catalog.path}/blobs/sha256/{name}", "wb") as stream:
                stream.write(os.urandom(1 << 20))

    def seen(self) -> str:
        tags = self.catalog.tags()
        if not {"2", "4", "stable"} <= set(tags) or tags["stable"] != tags["2"]:
            return f"versions that are needed are gone: there are {tags}"
        return NEW if not {"1", "3"} & set(tags) and not self.catalog.unnamed() else OLD

    def problems(self) -> str:
        left = [digest for digest in self.catalog.manifests() if self.catalog.manifest(digest).get("subject")]
        return f"signatures of what is gone: {left}" if left else ""


class MoveAlias(Keeping):
    """An alias is moved, and its past is kept."""

    name = "alias: moved"
    module = "image_alias"
    points = ("alias:before-history", "alias:before-tag")
    before, after = "2", "3"

    @property
    def options(self) -> dict[str, Any]:
        return {"repository": self.target, "alias": "stable", "version": "3"}

    def seen(self) -> str:
        digest = self.catalog.tags().get("stable")
        known = {self.digests[self.before]: OLD, self.digests.get(self.after): NEW}
        return known.get(digest, f"the alias points at {digest}")

    def history(self) -> list[str]:
        """Where the alias pointed, the newest last."""
        manifest = self.catalog.manifest(self.catalog.tags()["imageops-aliases"])
        told = json.loads(self.catalog.blob(manifest["layers"][0]["digest"]))["aliases"]
        return [turn["digest"] for turn in told.get("stable", []) if not turn.get("rolled_back")]

    def problems(self) -> str:
        wanted = [self.digests[version] for version in ("1", "2", "3")]
        return "" if self.history() == wanted else f"the past of the alias is {self.history()}, not {wanted}"


class RollBack(MoveAlias):
    """An alias goes back to where it pointed before."""

    name = "alias: rolled back"
    variant = True
    sampled = False
    after = "1"

    @property
    def options(self) -> dict[str, Any]:
        return {"repository": self.target, "alias": "stable", "rollback": True, "rollback_from": "2"}

    def problems(self) -> str:
        return "" if self.history() == [self.digests["1"]] else f"the past of the alias is {self.history()}"


class RemoveAlias(MoveAlias):
    """An alias is removed, and its past with it."""

    name = "alias: removed"
    variant = True
    points = ("alias:before-untag", "alias:before-forgetting")

    @property
    def options(self) -> dict[str, Any]:
        return {"repository": self.target, "alias": "stable", "state": "absent"}

    def seen(self) -> str:
        return OLD if "stable" in self.catalog.tags() else NEW

    def problems(self) -> str:
        return f"the alias has a past still: {self.history()}" if self.history() else ""


class Sign(Keeping):
    """A version is signed."""

    name = "sign: image"
    module = "image_sign"
    points = ("sign:before-signature",)

    @property
    def options(self) -> dict[str, Any]:
        return {"image": f"{self.target}:2", "key": self.key}

    def seen(self) -> str:
        signed = {version: self.catalog.referring(self.digests[version]) for version in ("1", "2")}
        if any(not self._is_true(one, version) for version, found in signed.items() for one in found):
            return "a signature is not true"
        if len(signed["1"]) != 1 or len(signed["2"]) > 1:
            return f"there are {len(signed['1'])} and {len(signed['2'])} signatures"
        return NEW if signed["2"] else OLD

    def _is_true(self, signature: bytes, version: str) -> bool:
        paths = {name: f"{self.room.temp}/{name}" for name in ("signature", "digest")}
        for path, data in ((paths["signature"], signature), (paths["digest"], self.digests[version].encode())):
            with open(path, "wb") as stream:
                stream.write(data)
        words = f"ssh-keygen -Y check-novalidate -n imageops.fleet -s {paths['signature']} < {paths['digest']}"
        return run("sh", "-c", words, check=False).returncode == 0


class Unsign(Sign):
    """The signature of a version is removed."""

    name = "sign: removed"
    variant = True
    points = ("sign:before-removal",)

    @property
    def options(self) -> dict[str, Any]:
        return {"image": f"{self.target}:1", "key": self.key, "state": "absent"}

    def seen(self) -> str:
        return OLD if self.catalog.referring(self.digests["1"]) else NEW


SCENARIOS = (Prune, MoveAlias, RollBack, RemoveAlias, Sign, Unsign)
