# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of a repository's aliases as it is kept there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from .._catalog.aliases import MOST_ALIASES_SIZE, Aliases
from .._catalog.aliases import read_aliases as aliases_in
from .._catalog.artifact import Artifact
from .._catalog.digest import Descriptor, digest_of
from .._catalog.media_types import ALIASES, ALIASES_CONTENT
from .._catalog.tags import ALIASES_TAG
from .._errors import Conflict, NotFound, TransferError
from .._registry.artifacts import load_artifact, write_artifact
from .._registry.images import read_whole_blob
from .._registry.interface import Store

# A registry has no lock: what was written is looked at again, and written again when somebody else was quicker.
_ATTEMPTS = 3


def is_lost(store: Store) -> bool:
    """Whether there was a list, and only its tag is left."""
    return _found(store) is None


def read_aliases(store: Store, *, renew: bool = False) -> Aliases:
    """The list as it was written last; empty when there is none, and to `renew` it also when it is lost, else a TransferError."""
    found = _found(store)
    if found is not None or renew:
        return found or Aliases()
    raise TransferError(
        f"{store.where}: the list of aliases is lost: the tag {ALIASES_TAG} names what isn't there; set every alias again, by "
        f"imageops.fleet.image_alias with force: true, before old versions are pruned."
    )


def _found(store: Store) -> Aliases | None:
    """The list, None when it is lost."""
    for _look in range(2):
        try:
            return _read(store)
        except NotFound:
            if not store.lists_tag(ALIASES_TAG):
                return Aliases()
            # Somebody else may have written the first list, or another one, just now.
    return None


def _read(store: Store) -> Aliases:
    artifact = load_artifact(store, ALIASES_TAG, artifact_type=ALIASES)
    content = read_whole_blob(store, artifact.content, most=MOST_ALIASES_SIZE)
    return aliases_in(content, where=f"{store.where}:{ALIASES_TAG}")


def current_aliases(store: Store, tags: Mapping[str, str], *, when: str, renew: bool = False) -> Aliases:
    """The list, brought up to date by where the tags of the aliases point now."""
    aliases = read_aliases(store, renew=renew)
    for alias in aliases.names & frozenset(tags):
        aliases = aliases.seen(alias, tags[alias], when=when)
    return aliases


def change_aliases(store: Store, change: Callable[[Aliases], Aliases], *, renew: bool = False) -> None:
    """Write what `change` makes of the list as it is now; `change` leaves a list alone in which its change stands already."""
    for _attempt in range(_ATTEMPTS):
        found = read_aliases(store, renew=renew)
        wanted = change(found)
        if wanted == found:
            return
        _write(store, wanted)
    if change(found := read_aliases(store)) != found:
        raise Conflict(
            f"{store.where}: others change its aliases all the time; run the task again when they have ended."
        )


def _write(store: Store, aliases: Aliases) -> None:
    content = aliases.as_bytes()
    descriptor = Descriptor(ALIASES_CONTENT, digest_of(content), len(content))
    write_artifact(store, Artifact(ALIASES, descriptor), content, tag=ALIASES_TAG)
