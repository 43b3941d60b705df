# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts of images in a catalog, and what this host holds of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._catalog.aliases import Aliases
from .._catalog.digest import is_digest
from .._catalog.retention import newest_first
from .._catalog.times import format_time
from .._errors import InvalidOption, NotFound, UnsafeImage
from .._plan import Plan
from .image_alias_state import current_aliases
from .image_blocks import count_blocks
from .image_facts import facts_of
from .image_held import held_of
from .image_signature import require_signed, signatures_of
from .image_stores import image_of, repository_of
from .image_versions import FoundVersion, find_version, find_versions, own_bytes
from .operation import Operation, Tools

_KNOWN = "image_info"
_ITEM = "_version"


def versions_of(params: dict[str, Any], tools: Tools) -> Iterable[dict[str, Any]]:
    """One item per version, the newest first; what concerns all of them is looked at here."""
    if params["wanted"] and not params["repository"]:
        raise InvalidOption("wanted: this compares what the host holds with a repository; give repository.")
    if not params["repository"] and not params["image"]:
        # Just what the host holds, of whatever repository; no catalog is asked.
        tools.forecast[_KNOWN] = {"told": {"held": held_of(None, (), tools) if params["held"] else []}}
        return []
    seen = _Seen(params, tools)
    tools.forecast[_KNOWN] = {"seen": seen, "told": seen.summary()}
    return [{**params, _ITEM: version} for version in seen.versions]


def plan_image_info(params: dict[str, Any], tools: Tools) -> Plan:
    """The facts of one version."""
    seen: _Seen = tools.forecast[_KNOWN]["seen"]
    found = seen.facts(params[_ITEM])
    return Plan(item=found["digest"], before={}, after=found, observe=lambda: found)


class _Seen:
    """A repository, or one image of it, as it was found."""

    def __init__(self, params: dict[str, Any], tools: Tools) -> None:
        self._params = params
        self._tools = tools
        self._reference, self._store = (repository_of if params["repository"] else image_of)(params, tools)
        self._tags = dict(self._store.tags())
        self._aliases = current_aliases(self._store, self._tags, when=format_time(tools.clock.time()))
        self.versions = self._find()
        self._images = [version for version in self.versions if version.image]
        self._wanted = self._find_wanted()
        self.held = self._find_held() if params["held"] else []
        self._blocks = count_blocks(self._store, self._images) if params["blocks"] else {}

    def _find(self) -> list[FoundVersion]:
        found = find_versions(self._store, self._tags) if self._params["repository"] else [self._one()]
        order = {
            each.digest: place for place, each in enumerate(newest_first(version.as_version() for version in found))
        }
        return sorted(found, key=lambda version: order[version.digest])

    def _one(self) -> FoundVersion:
        digest = self._store.resolve(self._reference.version).digest
        tags = sorted(tag for tag, each in self._tags.items() if each == digest)
        found = find_version(self._store, digest, tags)
        if found is None:
            raise NotFound(f"image: {self._reference} names no image.", digest=digest)
        return found

    @property
    def _newest(self) -> FoundVersion | None:
        """By its time; one without a tag was given up."""
        dated = (version for version in self._images if version.created is not None and self._names_of(version))
        return next(dated, None) if self._params["repository"] else None

    def _find_wanted(self) -> FoundVersion | None:
        """The version that hosts should hold."""
        named = self._params["wanted"]
        if not named:
            return self._newest
        digest = named if is_digest(named) else self._tags.get(named, "")
        found = next((version for version in self.versions if version.digest == digest), None)
        if found is None:
            raise NotFound(f"wanted: {self._store.where} has no version '{named}'.")
        return found

    def _find_held(self) -> list[dict[str, Any]]:
        known = {version.digest: version for version in self.versions}
        catalog = self._reference.catalog if self._params["repository"] else ""
        return [self._compared(entry, known) for entry in held_of(catalog, known, self._tools)]

    def _compared(self, entry: dict[str, Any], known: Mapping[str, FoundVersion]) -> dict[str, Any]:
        """The entry, compared with the wanted version."""
        version, wanted = known.get(entry["digest"]), self._wanted
        told = {**entry, "versions": self._names_of(version) if version else [], "known": version is not None}
        return {**told, "outdated": wanted is not None and wanted.digest != entry["digest"]}

    def _names_of(self, version: FoundVersion) -> list[str]:
        return [tag for tag in version.tags if tag not in self._aliases.names]

    def facts(self, version: FoundVersion) -> dict[str, Any]:
        """What is told of one version."""
        others = [other for other in self._images if other is not version]
        found = {
            "digest": version.digest,
            "tags": self._names_of(version),
            "aliases": [tag for tag in version.tags if tag in self._aliases.names],
            "arrived": _time(version.arrived),
            "newest": version is self._newest,
            "problem": version.problem,
            **facts_of(version.image),
        }
        if version.image:
            stored = sum(version.blobs.values())
            found["size"].update(stored=stored, own=own_bytes(version, others))
            found.update(self._signed(version.digest))
        if version.digest in self._blocks:
            found["blocks"] = self._blocks[version.digest]
        return found

    def _signed(self, digest: str) -> dict[str, Any]:
        found: dict[str, Any] = {"signatures": [each.as_dict() for each in signatures_of(self._store, digest)]}
        if not self._params["allowed_signers"]:
            return found
        requirement = {"allowed_signers": self._params["allowed_signers"]}
        try:
            signer = require_signed(self._store, digest, requirement, self._tools.commands)
        except UnsafeImage:
            return {**found, "signer": None}
        return {**found, "signer": signer.as_dict()}

    def summary(self) -> dict[str, Any]:
        """What is told beside the list of versions."""
        told: dict[str, Any] = {"held": self.held}
        if self._params["repository"]:
            told["repository"] = {
                "name": self._reference.catalog,
                "versions": len(self._images),
                "stored": _stored(self._images),
                "newest": self._named(self._newest),
                "wanted": self._named(self._wanted),
                "outdated": any(entry["outdated"] for entry in self.held),
                "aliases": _told(self._aliases, self._tags),
            }
        return told

    def _named(self, version: FoundVersion | None) -> dict[str, Any] | None:
        if version is None:
            return None
        return {"digest": version.digest, "tags": self._names_of(version), "created": _time(version.created)}


def _stored(versions: Sequence[FoundVersion]) -> int:
    """Bytes of all versions together, each blob counted once."""
    return sum({digest: size for version in versions for digest, size in version.blobs.items()}.values())


def _told(aliases: Aliases, tags: Mapping[str, str]) -> dict[str, Any]:
    """Where each alias points, and pointed before."""
    found = {}
    for alias in sorted(aliases.names & frozenset(tags)):
        before = aliases.before(alias)
        found[alias] = {"digest": tags[alias], "previous": before.digest if before else ""}
    return found


def _time(seconds: float | None) -> str:
    return "" if seconds is None else format_time(seconds)


def known_repository(tools: Tools) -> dict[str, Any]:
    """What is told beside the list."""
    return dict(tools.forecast.get(_KNOWN, {}).get("told", {}))


OPERATION = Operation(plan=plan_image_info, result="versions", expand=versions_of, summarise=known_repository)
