# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a repository holds, and what of it is to go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from .._catalog.aliases import Aliases
from .._catalog.retention import LATER, Decision, Rules, decide
from .._catalog.tags import subject_of
from .._catalog.times import format_time
from .._errors import NotFound, TransferError
from .._registry.interface import Store
from .._registry.referrers import listed_in, subject_in
from .._transfer.stream import Broken
from .image_alias_state import current_aliases
from .image_versions import FoundVersion, find_versions


@dataclass(frozen=True)
class Wishes:
    """What the task asks for; `in_use` are digests."""

    keep: int
    keep_within: float
    grace: float
    in_use: frozenset[str]
    keep_rollback: bool


@dataclass(frozen=True)
class Prunable:
    """The versions by digest, what is decided about them, and manifests that are about images that are gone."""

    versions: Mapping[str, FoundVersion]
    decisions: Sequence[Decision]
    orphans: Sequence[str]

    @property
    def kept(self) -> list[Decision]:
        return [decision for decision in self.decisions if decision.kept]

    @property
    def removed(self) -> list[Decision]:
        return [decision for decision in self.decisions if not decision.kept]

    def only(self, digests: Collection[str]) -> Prunable:
        """The same, in which nothing goes but what is in `digests`."""
        decisions = [
            replace(decision, kept=True, reason=LATER)
            if decision.version.digest not in digests and not decision.kept
            else decision
            for decision in self.decisions
        ]
        return replace(self, decisions=decisions)

    def versions_of(self, decisions: Sequence[Decision]) -> list[FoundVersion]:
        """What was decided about."""
        return [self.versions[decision.version.digest] for decision in decisions]


def look(store: Store, wishes: Wishes, *, now: float) -> Prunable:
    """Look at all versions and decide."""
    tags = dict(store.tags())
    versions = {version.digest: version for version in find_versions(store, tags)}
    aliases = current_aliases(store, tags, when=format_time(now))
    # Removing one that an index names would break that.
    named = frozenset(digest for version in versions.values() for digest in version.names)
    rules = Rules(
        wishes.keep,
        wishes.keep_within,
        wishes.grace,
        _pointed(aliases, tags),
        _before(aliases, tags) if wishes.keep_rollback else {},
        wishes.in_use | named,
    )
    decisions = decide((version.as_version() for version in versions.values()), rules, now=now)
    orphans = _Orphans(store, tags, oldest=now - wishes.grace).find()
    return Prunable(versions, decisions, list(dict.fromkeys(orphans)))


def _pointed(aliases: Aliases, tags: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for alias in sorted(aliases.names & frozenset(tags)):
        found.setdefault(tags[alias], []).append(alias)
    return found


def _before(aliases: Aliases, tags: Mapping[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for alias in sorted(aliases.names & frozenset(tags)):
        before = aliases.before(alias)
        if before:
            found.setdefault(before.digest, []).append(alias)
    return found


class _Orphans:
    """Manifests whose subject is gone: signatures that a killed run left. Those younger than the grace period may be early."""

    def __init__(self, store: Store, tags: Mapping[str, str], *, oldest: float) -> None:
        self._store = store
        self._tags = tags
        self._untagged = store.untagged()
        self._listed = frozenset({*tags.values(), *self._untagged})
        self._oldest = oldest

    def find(self) -> Iterator[str]:
        for digest in self._untagged:
            subject = subject_in(self._read(digest))
            if subject and self._is_gone(subject) and self._is_old(digest):
                yield digest
        for tag, digest in self._tags.items():
            subject = subject_of(tag)
            if subject and self._is_gone(subject) and self._is_old(digest):
                data = self._read(digest)
                yield from (each.digest for each in (listed_in(data, where=self._store.where) if data else ()))
                yield digest

    def _read(self, digest: str) -> bytes:
        """A manifest; nothing of one that is gone by now, or damaged."""
        try:
            return self._store.manifest(digest)[1]
        except Broken:
            raise
        except (NotFound, TransferError):
            return b""

    def _is_gone(self, subject: str) -> bool:
        if subject in self._listed:
            return False
        try:
            # An index may name what isn't listed itself.
            self._store.resolve(subject)
        except NotFound:
            return True
        return False

    def _is_old(self, digest: str) -> bool:
        arrived = self._store.created(digest)
        return arrived is None or arrived <= self._oldest
