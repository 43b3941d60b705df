# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aliases of versions: moved, rolled back, removed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Callable

from .._catalog.aliases import Aliases, Turn
from .._catalog.digest import is_digest
from .._catalog.reference import parse_reference
from .._catalog.tags import require_version_tag, version_tags
from .._catalog.times import format_time
from .._errors import Conflict, InvalidOption, NotFound
from .._faults import fault_point
from .._plan import Plan, Step
from .._registry.interface import Store
from .claims import claim_name
from .image_alias_state import change_aliases, current_aliases, is_lost
from .image_stores import named_repository, repository_of, require_writable
from .operation import Operation, Tools

PRESENT, ABSENT = "present", "absent"


def plan_alias(params: dict[str, Any], tools: Tools) -> Plan:
    """Plan for one alias; raises InvalidOption, NotFound, Conflict, Unsupported."""
    _require_sense(params)
    reference, store = repository_of(params, tools)
    _claim(str(reference.at(tag=params["alias"])), params, tools)
    require_writable(store, option="repository")
    return _Alias(store, params, tools).plan()


def _require_sense(params: Mapping[str, Any]) -> None:
    alias = params["alias"]
    require_version_tag(alias, option="alias")
    if parse_reference(f"dir:/x:{alias}", option="alias").tag != alias:
        raise InvalidOption(
            f"alias: '{alias[:80]}' can't be a tag, which an alias is; use letters, digits, '.', '_' and '-'."
        )
    if params["version"]:
        require_version_tag(params["version"], option="version")
    if params["state"] == ABSENT:
        if params["version"] or params["rollback"]:
            raise InvalidOption(
                f"version: the alias {alias} shall be removed, so it can't be given a version; leave it out."
            )
    elif bool(params["version"]) == bool(params["rollback"]):
        raise InvalidOption(f"version: say what the alias {alias} shall point at, by either version or rollback.")
    if params["rollback_from"] == "":
        raise InvalidOption(
            "rollback_from: an empty text is no version; give the one to go back from, or leave it out."
        )
    if params["rollback_from"] and not params["rollback"]:
        raise InvalidOption("rollback_from: this says when to roll back; give rollback too.")


def _claim(name: str, params: Mapping[str, Any], tools: Tools) -> None:
    """Only rollbacks of one alias may follow one another, each a version further back."""
    claim_name(name, tools, option="alias", says="rollback" if params["rollback"] else "")


class _Alias:
    def __init__(self, store: Store, params: dict[str, Any], tools: Tools) -> None:
        self._store = store
        self._params = params
        self._tools = tools
        self._alias: str = params["alias"]
        self._now = format_time(tools.clock.time())
        self._look()

    def _look(self) -> None:
        self._moved = self._moves_of_earlier_items()
        tags = {**self._store.tags(), **self._moved}
        self._tags = {tag: digest for tag, digest in tags.items() if digest}
        self._current = self._tags.get(self._alias, "")
        self._aliases = current_aliases(self._store, self._tags, when=self._now, renew=self._params["force"])

    def _moves_of_earlier_items(self) -> dict[str, str]:
        """What earlier items of the task's list will have moved, by alias."""
        found: dict[str, str] = self._tools.forecast.setdefault(f"aliases:{self._store.where}", {})
        return found

    def plan(self) -> Plan:
        if self._params["state"] == ABSENT:
            return self._plan_absent()
        target, version = self._wanted()
        if target == self._current and self._alias in self._aliases.names:
            return self._plan(target, ())
        self._require_alias()
        provisional = self._params["version"] in self._moved or self._alias in self._moved
        step = Step(f"let {self._alias} point at {version}", lambda: self._point(target, version))
        self._moved[self._alias] = target
        return replace(self._plan(target, (step,), provisional=provisional), warnings=self._warnings())

    def _warnings(self) -> tuple[str, ...]:
        """That the list is begun anew, told by the first item that does."""
        told = self._tools.forecast.setdefault("lists of aliases begun anew", {})
        if not self._params["force"] or self._store.where in told or not is_lost(self._store):
            return ()
        told[self._store.where] = True
        lost = f"{self._store.where}: the list of aliases was lost and is begun anew"
        return (
            f"{lost}; set the other aliases again, which are plain tags until then, before old versions are pruned.",
        )

    def _wanted(self) -> tuple[str, str]:
        """Digest and name of what the alias shall point at."""
        if self._params["rollback"]:
            return self._wanted_before()
        version: str = self._params["version"]
        if version in self._tags and not is_digest(version):
            return self._tags[version], version
        return self._store.resolve(version).digest, version

    def _wanted_before(self) -> tuple[str, str]:
        start = self._params["rollback_from"]
        if start and self._digest_of(start) != self._current:
            return self._current, self._alias
        before = self._aliases.before(self._alias) if self._current else None
        if before is None:
            raise Conflict(
                f"rollback: {self._store.where} doesn't know where {self._alias} pointed before; give the version to point at."
            )
        name = before.version or before.digest
        try:
            self._store.resolve(before.digest)
        except NotFound:
            raise Conflict(
                f"rollback: {self._alias} pointed at {name} before, which {self._store.where} doesn't hold any more; give a version that "
                f"is there.",
                digest=before.digest,
            ) from None
        return before.digest, name

    def _digest_of(self, version: str) -> str:
        return version if is_digest(version) else self._tags.get(version, "")

    def _require_alias(self) -> None:
        """A version's own name isn't taken from it by accident."""
        if self._current and self._alias not in self._aliases.names and not self._params["force"]:
            raise Conflict(
                f"alias: '{self._alias}' is the name of a version in {self._store.where} and no alias; give another name, or force to "
                f"make it an alias.",
                digest=self._current,
            )

    def _plan_absent(self) -> Plan:
        if not self._current and self._alias not in self._aliases.names:
            return self._plan("", ())
        self._require_alias()
        self._moved[self._alias] = ""
        return self._plan("", (Step(f"remove the alias {self._alias}", self._remove),))

    def _plan(self, digest: str, steps: tuple[Step, ...], *, provisional: bool = False) -> Plan:
        return Plan(
            item=f"{self._store.where}:{self._alias}",
            before=self._facts(self._current),
            after=self._facts(digest),
            observe=self._observe,
            steps=steps,
            provisional=provisional,
        )

    def _facts(self, digest: str) -> dict[str, Any]:
        facts: dict[str, Any] = {"alias": self._alias, "state": PRESENT if digest else ABSENT}
        return {**facts, "digest": digest, "versions": self._names_of(digest)} if digest else facts

    def _names_of(self, digest: str) -> list[str]:
        """The tags of that version that are no aliases."""
        own = {self._alias, *self._aliases.names}
        return sorted(tag for tag, each in version_tags(self._tags).items() if each == digest and tag not in own)

    def _point(self, target: str, version: str) -> None:
        with self._store.publishing():
            # Meanwhile it may have been pruned.
            descriptor, data = self._store.manifest(target)
            fault_point("alias:before-history")
            self._change(lambda aliases: self._moved_to(aliases, target, version))
            fault_point("alias:before-tag")
            self._store.write_manifest(data, descriptor.media_type, tag=self._alias)

    def _moved_to(self, aliases: Aliases, target: str, version: str) -> Aliases:
        past = aliases.past(self._alias)
        if past and past[-1].digest == target:
            return aliases
        if self._current:
            aliases = aliases.seen(self._alias, self._current, when=self._now)
        if self._params["rollback"]:
            return aliases.rolled_back(self._alias, when=self._now)
        return aliases.pointed(self._alias, Turn(target, version, self._now))

    def _remove(self) -> None:
        with self._store.publishing():
            fault_point("alias:before-untag")
            self._store.remove_tag(self._alias)
            fault_point("alias:before-forgetting")
            self._change(lambda aliases: aliases.without(self._alias))

    def _change(self, change: Callable[[Aliases], Aliases]) -> None:
        change_aliases(self._store, change, renew=self._params["force"])

    def _observe(self) -> dict[str, Any]:
        self._moved.clear()
        self._look()
        before = self._aliases.before(self._alias)
        history = [_told(turn) for turn in self._aliases.turns.get(self._alias, ())]
        return {**self._facts(self._current), "previous": _told(before) if before else None, "history": history}


def _told(turn: Turn) -> dict[str, Any]:
    return {"digest": turn.digest, "version": turn.version, "when": turn.when, "rolled_back": turn.rolled_back}


def locks(params: dict[str, Any], tools: Tools) -> Iterable[str]:
    """Two tasks of this host never change one list of aliases at once."""
    return [f"aliases:{named_repository(params).catalog}"]


OPERATION = Operation(plan=plan_alias, result="aliases", locks=locks)
