# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Aliases: tags such as stable that move from version to version, and where each pointed before.

Any tool sees them as tags, and the tag says where an alias points. Which tags are aliases, and their past, stands in an artifact
of its own beside them. So the past can lack a move that somebody else made; `seen` brings it up to date.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace

from .._errors import TransferError, Unsupported
from .canonical_json import canonical_json
from .digest import is_digest

SCHEMA = 1
MOST_ALIASES_SIZE = 4 << 20
# So many moves of an alias are remembered.
MOST_TURNS = 50
_TEXTS = ("version", "when", "rolled_back")


@dataclass(frozen=True)
class Turn:
    """An alias came to point at `digest`, which was called `version` then; `when` and `rolled_back` are RFC 3339 in UTC."""

    digest: str
    version: str = ""
    when: str = ""
    rolled_back: str = ""


@dataclass(frozen=True)
class Aliases:
    """All aliases of a repository with their moves, the newest last. Values; each change gives new ones."""

    turns: Mapping[str, tuple[Turn, ...]] = field(default_factory=dict)

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self.turns)

    def past(self, alias: str) -> tuple[Turn, ...]:
        """The moves that were not rolled back: the last one is where the alias points."""
        return tuple(turn for turn in self.turns.get(alias, ()) if not turn.rolled_back)

    def before(self, alias: str) -> Turn | None:
        """Where a rollback goes; None when there is nothing to go back to."""
        return next(iter(self.past(alias)[-2:-1]), None)

    def pointed(self, alias: str, turn: Turn) -> Aliases:
        """The alias points at `turn` now."""
        return self._with(alias, (*self.turns.get(alias, ()), turn))

    def rolled_back(self, alias: str, *, when: str) -> Aliases:
        """The alias points again where it pointed before."""
        last = self.past(alias)[-1]
        moves = list(self.turns[alias])
        moves[len(moves) - 1 - moves[::-1].index(last)] = replace(last, rolled_back=when)
        return self._with(alias, tuple(moves))

    def seen(self, alias: str, digest: str, *, when: str) -> Aliases:
        """The alias was found pointing at `digest`: the same when that is known, else with the move that nobody noted."""
        past, before = self.past(alias), self.before(alias)
        if past and past[-1].digest == digest:
            return self
        if before and before.digest == digest:
            return self.rolled_back(alias, when=when)
        return self.pointed(alias, Turn(digest, when=when))

    def without(self, alias: str) -> Aliases:
        """The alias is none any more, and its past is forgotten."""
        return Aliases({name: turns for name, turns in self.turns.items() if name != alias})

    def _with(self, alias: str, turns: tuple[Turn, ...]) -> Aliases:
        return Aliases({**self.turns, alias: turns[-MOST_TURNS:]})

    def as_bytes(self) -> bytes:
        """The artifact's content; equal aliases give equal bytes."""
        told = {alias: [_told(turn) for turn in turns] for alias, turns in self.turns.items()}
        return canonical_json({"schema": SCHEMA, "aliases": told})


def _told(turn: Turn) -> dict[str, str]:
    return {key: value for key, value in asdict(turn).items() if value}


def read_aliases(data: bytes, *, where: str) -> Aliases:
    """The aliases in `data`; raises TransferError for what holds none, Unsupported for a newer schema."""
    try:
        found = json.loads(data)
        schema, listed = found["schema"], found["aliases"]
        if schema != SCHEMA:
            raise Unsupported(
                f"{where}: the list of aliases has the schema {str(schema)[:20]}, and this version reads {SCHEMA}; use a newer imageops.fleet."
            )
        return Aliases({alias: tuple(map(_turn, turns)) for alias, turns in listed.items()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise TransferError(f"{where}: this is no list of aliases.") from None


def _turn(value: Mapping[str, object]) -> Turn:
    digest, texts = value["digest"], {name: value.get(name, "") for name in _TEXTS}
    if not isinstance(digest, str) or not is_digest(digest):
        raise ValueError
    if not all(isinstance(text, str) and len(text) <= 255 and text.isprintable() for text in texts.values()):
        raise ValueError
    return Turn(digest, **{name: str(text) for name, text in texts.items()})
