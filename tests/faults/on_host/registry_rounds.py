# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images published to a registry, and what looks after them there: the scenarios of a catalog in a folder, with another home."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from catalog_rounds import Keeping, MoveAlias, Prune, RemoveAlias, Sign, Unsign
from processes import of_unit, run, wait_until
from publish_rounds import MovedTag, Publish, SeveralPacks
from real_registry import NEEDS, Registry
from room import Room
from scenario import NEW, Scenario
from strikes import Strike

if TYPE_CHECKING:
    import random

    from rounds import Lengths

_APPEARS = 120.0
_AWAY = 0.7


class LostRegistry(Strike):
    """kill -9 of the registry at a moment that is `part` (0 to 1) of the way through; it is back after a moment."""

    def __init__(self, part: float) -> None:
        self.part = part

    def __str__(self) -> str:
        return f"kill of registry at {self.part:.2f}"

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        if scenario.kind:
            wait_until(lambda: bool(of_unit(scenario.job)) or process.poll() is not None, _APPEARS)
        time.sleep(self.part * (lengths.helper if scenario.kind else lengths.module))
        lived = process.poll() is None
        scenario.registry.kill()  # type: ignore[attr-defined]
        time.sleep(_AWAY)
        scenario.registry.start()  # type: ignore[attr-defined]
        return lived


class _OnRegistry(Scenario):
    """What the registry holds lies on the scenario's disk; `_made` is where that is kept as it begins."""

    needs = NEEDS
    variant = True
    sampled = False
    # A registry has no file that all rests on.
    written = ""  # type: ignore[assignment]
    garbage = ""
    full_sizes = ()
    registry_kills = 3

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self.registry = Registry(
            f"{os.path.dirname(room.folder)}/registry-of-{os.path.basename(room.folder)}", self.path("registry")
        )
        self.catalog: Any = self.registry.catalog()

    @property
    def repository(self) -> str:
        return self.registry.repository

    @property
    def origin(self) -> str:
        return self.repository

    @property
    def options(self) -> dict[str, Any]:
        return {**super().options, **self.registry.access}

    def call(self, module: str, options: dict[str, Any]) -> dict[str, Any]:
        return super().call(module, {**options, **self.registry.access})  # type: ignore[misc, no-any-return]

    def prepare(self) -> None:
        self.registry.make()
        super().prepare()

    def keep(self, place: str) -> None:
        """Keep what the registry holds."""
        run("cp", "-a", self.registry.content, place)

    def bring(self, place: str) -> None:
        """Bring what the registry held to the scenario's empty disk."""
        self.registry.start()
        self.room.empty(self.room.disk)
        run("cp", "-a", place, self.registry.content)

    def strikes(self, chance: random.Random) -> Iterator[Strike]:
        """Interruptions that only a registry has."""
        count = self.registry_kills
        return (LostRegistry((number + chance.random()) / count) for number in range(count))

    def end(self) -> None:
        self.registry.remove()


class _Publishes(_OnRegistry, Publish):
    kept = "/publishes/"

    def publish_old(self) -> None:
        super().publish_old()
        self.keep(f"{self.room.master}/registry")

    def fresh(self) -> None:
        self.bring(f"{self.room.master}/registry")
        self.room.copy("source.raw")

    def pruned(self) -> str:
        """The registry's own collection of garbage takes nothing that is needed either."""
        said = super().pruned()
        if said or self.rounds % 4 != 1:
            return said
        self.registry.collect_garbage()
        return "" if self.look() == NEW else f"after the collection of garbage: {self.look()}"


class PublishThere(_Publishes):
    """A new version, under two tags, and an alias moves to it."""

    name = "publish: registry"
    variant = False
    sampled = True
    points = (*(one for one in Publish.points if not one.startswith("catalog:")),)
    sampled_points = ("publish:after-manifest",)
    full_sizes = (0, 3, 10)
    registry_kills = 10


class MoveTagThere(_Publishes, MovedTag):
    """The tag of the older version comes to name the new one."""

    name = "publish: registry, moved tag"
    points = ("publish:before-manifest", "publish:after-manifest")
    full_sizes = ()


class SeveralPacksThere(_Publishes, SeveralPacks):
    """So much is new that it comes in several packs: an interrupted run's are not sent again."""

    name = "publish: registry, several packs"


class _Keeps(_OnRegistry, Keeping):
    @property
    def _made(self) -> str:
        return f"{os.path.dirname(self.room.folder)}/kept-registry"

    def make(self) -> None:
        super().make()
        self.keep(f"{self._made}/registry")

    def fresh(self) -> None:
        self.bring(f"{self._made}/registry")


class PruneThere(_Keeps, Prune):
    """The newest version stays, and what the alias points at."""

    name = "prune: registry"
    variant = False
    registry_kills = 10


class MoveAliasThere(_Keeps, MoveAlias):
    """An alias is moved, and its past is kept."""

    name = "alias: registry"


class RemoveAliasThere(_Keeps, RemoveAlias):
    """An alias is removed: for a moment its tag names what nobody else has, since the registry removes no tags."""

    name = "alias: registry, removed"
    points = (*RemoveAlias.points, "registry:stand-in")


class SignThere(_Keeps, Sign):
    """A version is signed; the tag that stands for the referrers API comes after the signature."""

    name = "sign: registry"
    points = (*Sign.points, "registry:before-listing")


class UnsignThere(_Keeps, Unsign):
    """A signature is removed: first from that tag."""

    name = "sign: registry, removed"
    points = (*Unsign.points, "registry:unlisted")


SCENARIOS = (
    PublishThere,
    MoveTagThere,
    SeveralPacksThere,
    PruneThere,
    MoveAliasThere,
    RemoveAliasThere,
    SignThere,
    UnsignThere,
)
