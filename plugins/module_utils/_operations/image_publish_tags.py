# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names that a published image gets: tags, which don't move unless that is asked, and aliases, which follow new versions."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable, Mapping

from .._catalog.aliases import Aliases, Turn
from .._catalog.media_types import MANIFEST
from .._catalog.times import format_time
from .._errors import Conflict
from .._faults import fault_point
from .._registry.interface import Store
from .image_alias_state import change_aliases, read_aliases
from .image_publish_request import PublishRequest


def require_free_names(request: PublishRequest, store: Store, tags: Mapping[str, str]) -> None:
    """Raise Conflict for names that must not be given to what is published."""
    aliases = read_aliases(store).names
    for tag in (request.reference.tag, *request.tags):
        if tag in aliases:
            raise Conflict(
                f"image: '{tag}' is an alias in {store.where}, so no version has that name; publish under a version's name, and give "
                f"the alias in aliases, or move it with imageops.fleet.image_alias."
            )
    current = tags.get(request.reference.tag)
    for tag in request.tags:
        if tags.get(tag, current) != current and not request.move_tag:
            raise _moved(store, tag, tags[tag], "tags")
    for alias in request.aliases:
        if alias in tags and alias not in aliases:
            raise Conflict(
                f"aliases: '{alias}' is the name of a version in {store.where} and no alias; give another name."
            )


def moved(store: Store, request: PublishRequest, digest: str) -> Conflict:
    """What is raised when the image's tag names other content."""
    return _moved(store, request.reference.tag, digest, "image")


def _moved(store: Store, tag: str, digest: str, option: str) -> Conflict:
    return Conflict(
        f"{option}: '{tag}' names another image in {store.where} ({digest}), and a version stays what it is; give another tag, or "
        f"move_tag: true to let this one name the new image.",
        digest=digest,
    )


def missing_names(request: PublishRequest, tags: Mapping[str, str], digest: str) -> list[str]:
    """The tags that don't name the image yet, and the aliases that aren't there; an alias that was moved or rolled back stays so."""
    return [tag for tag in request.tags if tags.get(tag) != digest] + [
        alias for alias in request.aliases if alias not in tags
    ]


def unmoved_aliases(request: PublishRequest, store: Store, tags: Mapping[str, str], digest: str) -> list[str]:
    """The aliases that a run which was killed was to move to the image; what was moved or rolled back since stays so."""
    aliases = read_aliases(store)
    return [alias for alias in request.aliases if tags.get(alias) != digest and not _was_moved(aliases, alias, digest)]


def _was_moved(aliases: Aliases, alias: str, digest: str) -> bool:
    """Whether the alias pointed at the image and does no more; when its last move is that, only its tag may be missing."""
    past = aliases.past(alias)
    known = any(turn.digest == digest for turn in aliases.turns.get(alias, ()))
    return known and not (past and past[-1].digest == digest)


def give_names(
    request: PublishRequest,
    store: Store,
    manifest: bytes,
    digest: str,
    names: Iterable[str],
    *,
    seen: Mapping[str, str],
) -> None:
    """Let the tags and aliases in `names` point at the image; raises Conflict for tags that aren't what they were, `seen`."""
    turn = Turn(digest, request.reference.tag, format_time(time.time()))
    tags = store.tags()
    for name in names:
        is_alias, current = name in request.aliases, tags.get(name, "")
        if is_alias:
            change_aliases(store, functools.partial(_pointed, alias=name, turn=turn, current=current))
        elif current not in (seen.get(name, ""), digest):
            raise Conflict(f"tags: somebody else gave the tag '{name}' in {store.where} meanwhile; run the task again.")
        fault_point("publish:before-name")
        store.write_manifest(manifest, MANIFEST, tag=name, instead_of=None if is_alias else current)


def _pointed(aliases: Aliases, *, alias: str, turn: Turn, current: str) -> Aliases:
    past = aliases.past(alias)
    if past and past[-1].digest == turn.digest:
        return aliases
    return (aliases.seen(alias, current, when=turn.when) if current else aliases).pointed(alias, turn)
