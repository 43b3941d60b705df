# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Old versions of a repository removed: first what names them, then what they were the last to need.

A run that is killed leaves what nothing names, and the next one removes it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from .._catalog.digest import is_digest
from .._catalog.reference import DIRECTORY, Reference
from .._catalog.retention import Decision
from .._catalog.times import format_time, parse_age
from .._errors import InvalidOption, NotFound
from .._faults import fault_point
from .._plan import Plan, Step
from .._registry.interface import Store
from .._sizes import format_size
from .image_held import held_digests
from .image_prune_look import Prunable, Wishes, look
from .image_stores import named_repository, repository_of, require_writable
from .image_versions import needed_only_by
from .operation import Operation, Tools


def plan_prune(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan for one repository; raises InvalidOption, Unsupported."""
    reference, store = repository_of(params, tools)
    require_writable(store, option="repository")
    return _Pruning(reference, store, _wishes(params), tools).plan()


def _wishes(params: dict[str, Any]) -> Wishes:
    # Both may be null: a variable that holds nothing counts as given to Ansible.
    keep, within = params["keep"] or 0, params["keep_within"]
    young = 0.0 if within is None else parse_age(within, option="keep_within")
    if keep < 0:
        raise InvalidOption(f"keep: {keep} is no number of versions; give one from 0 on.")
    if not keep and not young:
        raise InvalidOption(
            "keep: say how many versions stay, or by keep_within how long they do; as it is, every version could go."
        )
    return Wishes(
        keep,
        young,
        parse_age(params["grace"], option="grace"),
        frozenset(map(_digest, params["in_use"])),
        params["keep_rollback"],
    )


def _digest(text: str) -> str:
    """The digest that a digest, or a reference with one, names."""
    digest = text.rpartition("@")[2]
    if not is_digest(digest):
        raise InvalidOption(f"in_use: '{text[:200]}' names no content; give digests, as image_info tells them.")
    return digest


class _Pruning:
    def __init__(self, reference: Reference, store: Store, wishes: Wishes, tools: Tools) -> None:
        self._name = reference.catalog
        self._collects = reference.home == DIRECTORY
        self._store = store
        self._wishes = wishes
        self._tools = tools
        self._found = self._look()
        self._garbage = store.collect_garbage(grace=wishes.grace, remove=False)

    def _look(self) -> Prunable:
        in_use = self._wishes.in_use | held_digests(self._tools)
        return look(self._store, replace(self._wishes, in_use=in_use), now=self._tools.clock.time())

    def plan(self) -> Plan:
        found = self._found
        own = needed_only_by(found.versions_of(found.removed), found.versions_of(found.kept))
        self._size = own + self._garbage
        some = found.removed or found.orphans or self._garbage
        return Plan(
            item=self._name,
            before={"repository": self._name, "versions": _names([*found.kept, *found.removed])},
            after={"repository": self._name, "versions": _names(found.kept)},
            observe=self._told,
            foretell=self._told,
            steps=(Step(self._title(), self._prune),) if some else (),
        )

    def _title(self) -> str:
        found, parts = self._found, []
        if found.removed:
            parts.append(f"remove {', '.join(_names(found.removed))}")
        if found.orphans:
            parts.append(f"remove {len(found.orphans)} manifests that are about images that are gone")
        if self._size:
            parts.append(f"free about {format_size(self._size)}")
        return f"{self._name}: {'; '.join(parts)}"

    def _prune(self) -> None:
        with self._store.pruning():
            planned = {decision.version.digest for decision in self._found.removed}
            # Until now versions could come, be promoted, be signed and be pulled.
            self._found = self._look().only(planned)
            freed = sum(self._remove(decision.version.digest) for decision in self._found.removed)
            freed += sum(map(self._forget, self._found.orphans))
            fault_point("prune:before-garbage")
            freed += self._store.collect_garbage(grace=self._wishes.grace)
        # A registry frees it later.
        self._size = freed if self._collects else self._size

    def _remove(self, digest: str) -> int:
        """Remove an image, and then its signatures; bytes of their manifests."""
        referring = self._store.referrers(digest)
        fault_point("prune:before-manifest")
        freed = self._forget(digest)
        fault_point("prune:before-referrers")
        return freed + sum(self._forget(each.digest) for each in referring)

    def _forget(self, digest: str) -> int:
        try:
            size = self._store.resolve(digest).size
        except NotFound:
            # It went with what it was about.
            return 0
        self._store.remove_manifest(digest)
        return size

    def _told(self) -> dict[str, Any]:
        return {
            "repository": self._name,
            "kept": [_described(decision) for decision in self._found.kept],
            "removed": [_described(decision) for decision in self._found.removed],
            "orphans": len(self._found.orphans),
            "freed": self._size,
        }


def _names(decisions: Iterable[Decision]) -> list[str]:
    """What people call the versions; those without a tag by their digest."""
    return [", ".join(decision.version.tags) or decision.version.digest for decision in decisions]


def _described(decision: Decision) -> dict[str, Any]:
    version = decision.version
    since = version.age_from
    return {
        "digest": version.digest,
        "tags": list(version.tags),
        "since": "" if since is None else format_time(since),
        "reason": decision.reason,
    }


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """Two tasks of this host never prune one repository at once."""
    return [f"prune:{named_repository(params).catalog}"]


OPERATION = Operation(plan=plan_prune, result="repositories", locks=locks)
