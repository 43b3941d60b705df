# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a task's items: items run side by side, so none may change what another one reads or changes."""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import InvalidOption
from .operation import Tools


def claim(paths: Iterable[str], tools: Tools, *, option: str, changes: bool) -> None:
    """Note that the item that is planned now reads `paths`, or `changes` them; raises InvalidOption for what earlier items forbid."""
    for path in paths:
        claims = tools.forecast.setdefault("claims", {})
        if path in claims and (changes or claims[path]):
            raise InvalidOption(
                f"{option}: {path} belongs to two items of this task, and one of them changes it; make them two tasks, one after the "
                f"other."
            )
        claims[path] = changes


def claim_copy(sources: Iterable[str], dest: str, tools: Tools, *, option: str, says: str = "") -> bool:
    """Note that the item that is planned now writes `dest` from `sources`; whether an earlier one writes just the same there, `says`.

    Raises InvalidOption when an earlier one writes something else, or may. A later item may read what an earlier one writes: it waits
    for that one. Nobody waits for readers.
    """
    read, written = tools.forecast.setdefault("read", {}), tools.forecast.setdefault("written", {})
    known = dest in written
    if known and (not says or written[dest] != says):
        raise InvalidOption(f"{option}: {dest} is given for two items of this task; give each its own.")
    if dest in read:
        raise InvalidOption(
            f"{option}: {dest} is read by an earlier item of this task, for {read[dest]}; replace it in a task of its own, after this one."
        )
    written[dest] = says
    read.update(dict.fromkeys(sources, dest))
    return known


def claim_name(name: str, tools: Tools, *, option: str, says: str = "") -> bool:
    """Note that the item that is planned now says what `name` is; whether an earlier one says just the same, `says`.

    Raises InvalidOption when an earlier one says something else, or may: each run would change the name there and back.
    """
    names: dict[str, str] = tools.forecast.setdefault("names", {})
    known = name in names
    if known and (not says or names[name] != says):
        raise InvalidOption(f"{option}: {name} is named twice in the list; make two tasks of it, one after the other.")
    names[name] = says
    return known
