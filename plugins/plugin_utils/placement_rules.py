# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs belong on one host, and which on different ones."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

APART, TOGETHER = "apart", "together"


@dataclass(frozen=True)
class Rule:
    """VMs by patterns of names and by labels; `by` makes a group of its own for each value of that label.

    `hard` is never broken by a new VM, the others are kept where there is a choice. Of `apart`, a host has `most` at most.
    """

    kind: str
    number: int
    names: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    by: str = ""
    hard: bool = True
    most: int = 1

    def groups(self, vms: Mapping[str, Mapping[str, str]]) -> list[Group]:
        """The groups of VMs (labels by name) that the rule means."""
        found: dict[str, set[str]] = {}
        for name, labels in vms.items():
            if self._means(name, labels):
                found.setdefault(labels.get(self.by, ""), set()).add(name)
        return [Group(self, frozenset(members)) for _value, members in sorted(found.items())]

    def _means(self, name: str, labels: Mapping[str, str]) -> bool:
        if self.names and not any(fnmatch.fnmatchcase(name, pattern) for pattern in self.names):
            return False
        if any(labels.get(label) != value for label, value in self.labels.items()):
            return False
        return not self.by or self.by in labels


@dataclass(frozen=True)
class Group:
    """VMs that one rule keeps together or apart."""

    rule: Rule
    members: frozenset[str]

    def broken(self, *, new: int, here: int, elsewhere: int) -> int:
        """How many VMs are where they shouldn't be, when `new` members come to a host that has `here` of them."""
        return elsewhere if self.rule.kind == TOGETHER else max(0, here + new - self.rule.most)


class Tally:
    """How many members of each group each host has."""

    def __init__(self, groups: Sequence[Group], there: Mapping[str, Iterable[str]]) -> None:
        self._counts = [(group, Counter[str]()) for group in groups]
        for host, names in there.items():
            self.move(frozenset(names), host)

    def move(self, names: frozenset[str], host: str, *, back: bool = False) -> None:
        """The VMs came to the host, or left it."""
        for group, counts in self._counts:
            counts[host] += (-1 if back else 1) * len(group.members & names)

    def broken(self, names: frozenset[str], host: str, *, came: bool = False) -> Iterator[tuple[Group, int]]:
        """The groups that would be broken, and by how many, if the VMs came there, or when they `came`."""
        for group, counts in self._counts:
            mine = len(group.members & names)
            if mine:
                here = counts[host]
                number = group.broken(new=0 if came else mine, here=here, elsewhere=sum(counts.values()) - here)
                if number:
                    yield group, number
