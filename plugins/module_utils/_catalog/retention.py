# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which versions of a repository stay, and why; a pure function of what was found."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

ALIAS, ROLLBACK, IN_USE, UNKNOWN_AGE, NOT_OURS = "alias", "rollback", "in use", "unknown age", "no image of ours"
NEWEST, YOUNG, GRACE, REMOVED = "among the newest", "young", "grace period", "removed"
# What may go only since the task looked first is left for the next run.
LATER = "next run"


@dataclass(frozen=True)
class Version:
    """What is asked about: a manifest, the tags that point at it, and its times in seconds since the epoch, None when unknown.

    `created` is what its publisher says, `arrived` when it came here. `ours` is false for what was not published by us.
    """

    digest: str
    tags: Sequence[str] = ()
    created: float | None = None
    arrived: float | None = None
    ours: bool = True

    @property
    def age_from(self) -> float | None:
        """The later time counts: an old image that was copied here today is young."""
        known = [time for time in (self.created, self.arrived) if time is not None]
        return max(known) if known else None


@dataclass(frozen=True)
class Rules:
    """The newest `keep` stay, and what is younger than `keep_within` seconds; nothing goes in its first `grace` seconds.

    `pointed` maps digests to the aliases that point at them, `rollback` to those that pointed at them before.
    """

    keep: int = 0
    keep_within: float = 0.0
    grace: float = 0.0
    pointed: Mapping[str, Sequence[str]] | None = None
    rollback: Mapping[str, Sequence[str]] | None = None
    in_use: Collection[str] = ()


@dataclass(frozen=True)
class Decision:
    """Whether a version stays, and the first reason for it."""

    version: Version
    kept: bool
    reason: str


def newest_first(versions: Iterable[Version]) -> list[Version]:
    """By when the publisher made them, those without a known time first; the digest decides between equal ones."""

    def order(version: Version) -> tuple[bool, float, str]:
        time = version.created if version.created is not None else version.arrived
        return (time is not None, -(time or 0.0), version.digest)

    return sorted(versions, key=order)


def decide(versions: Iterable[Version], rules: Rules, *, now: float) -> list[Decision]:
    """One decision per version, the newest first."""
    ordered = newest_first(versions)
    counted = [version.digest for version in ordered if version.ours and version.age_from is not None]
    newest = frozenset(counted[: rules.keep])
    reasons = [(version, _reason(version, rules, newest, now)) for version in ordered]
    return [Decision(version, reason != REMOVED, reason) for version, reason in reasons]


def _reason(version: Version, rules: Rules, newest: Collection[str], now: float) -> str:
    since = version.age_from
    if not version.ours:
        return NOT_OURS
    if version.digest in (rules.pointed or {}):
        return ALIAS
    if version.digest in rules.in_use:
        return IN_USE
    if version.digest in (rules.rollback or {}):
        return ROLLBACK
    if since is None:
        return UNKNOWN_AGE
    if version.digest in newest:
        return NEWEST
    if now - since < rules.keep_within:
        return YOUNG
    return GRACE if now - since < rules.grace else REMOVED
