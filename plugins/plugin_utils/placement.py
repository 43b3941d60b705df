# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Spreading VMs over hosts: a pure function of what is wanted and what is there.

A VM that a host has stays there. VMs that belong together by a hard rule are placed as one. The largest are placed first, each
where the fullest of the resources that it needs is the least full afterwards; where that leads nowhere, other ways are tried. An
image that a host would have to fetch counts as if the host were that much fuller.
Nothing depends on the order of the input.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_rules import APART, TOGETHER, Group, Rule, Tally
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_types import Host, Placed, Vm
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_words import (
    Impossible,
    amounts,
    listed,
    reason,
    refusal,
    shortage,
)

# So often another place is tried for what was placed before, until no arrangement is thought to be there.
_DEAD_ENDS = 2000
# How much fuller a host may be for an image that it needn't fetch.
IMAGE_COST = 0.05


def place(
    vms: Sequence[Vm], hosts: Sequence[Host], rules: Sequence[Rule] = (), *, image_cost: float = IMAGE_COST
) -> list[Placed]:
    """A host for each VM, in the order given; raises Impossible when there is no room, or rules leave none."""
    planner = _Planner(vms, hosts, rules, image_cost)
    planner.run()
    return [Placed(vm.name, planner.where[vm.name], planner.why[vm.name]) for vm in vms]


@dataclass(frozen=True)
class _Unit:
    """VMs that are placed together; `only` are the hosts that are left to them, none when they may go anywhere."""

    vms: tuple[Vm, ...]
    only: frozenset[str]

    @property
    def names(self) -> frozenset[str]:
        return frozenset(vm.name for vm in self.vms)

    @property
    def images(self) -> frozenset[str]:
        return frozenset().union(*(vm.images for vm in self.vms))


class _Planner:
    def __init__(self, vms: Sequence[Vm], hosts: Sequence[Host], rules: Sequence[Rule], image_cost: float) -> None:
        self.image_cost = image_cost
        self.hosts = {host.name: host for host in sorted(hosts, key=lambda host: host.name)}
        self.vms = {vm.name: vm for vm in sorted(vms, key=lambda vm: vm.name)}
        self.free = {name: dict(host.free) for name, host in self.hosts.items()}
        self.there = {name: frozenset(host.vms) for name, host in self.hosts.items()}
        labels = {name: found for host in self.hosts.values() for name, found in host.vms.items()}
        labels.update({vm.name: vm.labels for vm in self.vms.values()})
        self.groups = [group for rule in rules for group in rule.groups(labels)]
        self.tally = Tally(self.groups, self.there)
        self.where: dict[str, str] = {}
        self.why: dict[str, str] = {}

    def run(self) -> None:
        if not self.hosts and self.vms:
            raise Impossible(f"There is no host to place {listed(self.vms)} on.")
        self._stay()
        units = self._units()
        for unit in units:
            self._require_consistent(unit)
        self._search(units)

    def _stay(self) -> None:
        """VMs that are somewhere stay; what they are to get beyond what they have is taken first."""
        for name, vm in self.vms.items():
            found = [host.name for host in self.hosts.values() if name in host.vms]
            if len(found) > 1:
                raise Impossible(
                    f"There is a VM called {name} on {listed(found)}; remove or rename all but one, or place it by hand."
                )
            if found:
                self._take(_Unit((vm,), frozenset()), found[0])
                self.where[name] = found[0]
                self.why[name] = f"is there already{self._against_rules(name, found[0])}"

    def _against_rules(self, name: str, host: str) -> str:
        broken = [group for group, _number in self.tally.broken(frozenset({name}), host, came=True)]
        if not broken:
            return ""
        group = broken[0]
        here = group.members & self.there[host] - {name}
        if group.rule.kind == APART:
            return f", though rule {group.rule.number} wants it apart from {listed(here)}"
        return f", though rule {group.rule.number} wants it together with {listed(self._placed(group.members) - here - {name})}"

    def _placed(self, names: frozenset[str]) -> frozenset[str]:
        return frozenset().union(*(there & names for there in self.there.values()))

    def _units(self) -> list[_Unit]:
        new = [name for name in self.vms if name not in self.where]
        parts = _joined(new, [group for group in self.groups if _binds(group)])
        units = [_Unit(tuple(self.vms[name] for name in part), self._bound(frozenset(part))) for part in parts]
        return sorted(units, key=lambda unit: (not unit.only, -self._share(unit), min(unit.names)))

    def _bound(self, part: frozenset[str]) -> frozenset[str]:
        """Hosts that have VMs with which these belong together; those of all groups, where there are such."""
        found: frozenset[str] = frozenset()
        for group in self.groups:
            if _binds(group) and group.members & part:
                hosts = frozenset(name for name, there in self.there.items() if there & group.members)
                found = found & hosts or found | hosts
        return found

    def _share(self, unit: _Unit) -> float:
        """The largest part of a host that the unit takes of any resource, on the host where that is least."""
        return min(
            max(
                (size / max(1, host.total.get(name, 0)) for name, size in self._needed(unit, host).items()), default=0.0
            )
            for host in self.hosts.values()
        )

    def _require_consistent(self, unit: _Unit) -> None:
        for group in self.groups:
            inside = group.members & unit.names
            if group.rule.kind == APART and group.rule.hard and len(inside) > group.rule.most:
                raise Impossible(
                    f"Rule {group.rule.number} keeps {listed(inside)} apart, and another rule keeps them together; change one."
                )

    def _needed(self, unit: _Unit, host: Host) -> dict[str, int]:
        found: Counter[str] = Counter()
        for vm in unit.vms:
            found.update(host.needed(vm))
        return dict(found)

    def _search(self, units: list[_Unit]) -> None:
        """Depth first, the best host first; without recursion, since there may be thousands of VMs."""
        taken: list[str] = []
        ways: list[Iterator[str]] = []
        dead_ends, refused = 0, ""
        while len(taken) < len(units):
            unit = units[len(taken)]
            if len(ways) == len(taken):
                ways.append(iter(self._ways(unit)))
            host = next(ways[-1], "")
            if host:
                self._note(unit, host)
                self._move(unit, host)
                taken.append(host)
                continue
            # What stood in the way at first is what there is to say: later tries fail at what was moved around.
            refused = refused or self._refusal(unit)
            ways.pop()
            dead_ends += 1
            if not taken or dead_ends > _DEAD_ENDS:
                raise Impossible(refused)
            self._move(units[len(taken) - 1], taken.pop(), back=True)

    def _ways(self, unit: _Unit) -> list[str]:
        """Hosts that have room, and where no hard rule is broken, the best first."""
        found = [
            (self._soft(unit, host.name), self._fullness(unit, host)[0] + self._to_fetch(unit, host), host.name)
            for host in self.hosts.values()
            if not self._obstacle(unit, host)
        ]
        return [name for _broken, _full, name in sorted(found)]

    def _obstacle(self, unit: _Unit, host: Host) -> str:
        """Why the unit can't go there, an empty text when it can."""
        if unit.only and host.name not in unit.only:
            return f"is not where the VMs are with which a rule keeps {'them' if len(unit.vms) > 1 else 'it'} together"
        for group, _number in self.tally.broken(unit.names, host.name):
            if group.rule.hard and group.rule.kind == APART:
                return f"has {listed(group.members & self.there[host.name])}, and rule {group.rule.number} keeps them apart"
        return shortage(self._needed(unit, host), self.free[host.name])

    def _soft(self, unit: _Unit, host: str) -> int:
        return sum(number for group, number in self.tally.broken(unit.names, host) if not group.rule.hard)

    def _to_fetch(self, unit: _Unit, host: Host) -> float:
        """What the images cost that the host doesn't hold; several VMs of one image fetch it once."""
        return self.image_cost * len(unit.images - host.images)

    def _fullness(self, unit: _Unit, host: Host) -> tuple[float, str]:
        """How full the fullest resource that the unit needs is afterwards, and which that is."""
        free = self.free[host.name]
        shares = [
            (1 - (free.get(name, 0) - size) / max(1, host.total.get(name, 0)), name)
            for name, size in self._needed(unit, host).items()
        ]
        # VMs without needs are spread by number.
        return max(shares, default=(float(len(self.there[host.name])), ""))

    def _note(self, unit: _Unit, host: str) -> None:
        full, resource = self._fullness(unit, self.hosts[host])
        holds = bool(unit.images) and unit.images <= self.hosts[host].images
        for vm in unit.vms:
            self.why[vm.name] = reason(
                full, resource, others=unit.names - {vm.name}, soft=self._soft(unit, host), holds=holds
            )

    def _move(self, unit: _Unit, host: str, *, back: bool = False) -> None:
        self._take(unit, host, sign=-1 if back else 1)
        self.tally.move(unit.names, host, back=back)
        self.there[host] = self.there[host] - unit.names if back else self.there[host] | unit.names
        self.where.update({name: "" if back else host for name in unit.names})

    def _take(self, unit: _Unit, host: str, *, sign: int = 1) -> None:
        for name, size in self._needed(unit, self.hosts[host]).items():
            self.free[host][name] = self.free[host].get(name, 0) - sign * size

    def _refusal(self, unit: _Unit) -> str:
        needs = amounts(self._needed(unit, min(self.hosts.values(), key=lambda host: host.name)))
        obstacles = {host.name: self._obstacle(unit, host) for host in self.hosts.values()}
        return refusal(unit.names, needs, obstacles, placed=len([host for host in self.where.values() if host]))


def _binds(group: Group) -> bool:
    return group.rule.kind == TOGETHER and group.rule.hard


def _joined(names: Sequence[str], groups: Sequence[Group]) -> list[list[str]]:
    """The names in parts, such that members of one group are in one part."""
    part = {name: name for name in names}
    for group in groups:
        members = sorted(group.members & set(names))
        for name in members[1:]:
            old, new = part[name], part[members[0]]
            part = {each: new if of == old else of for each, of in part.items()}
    found: dict[str, list[str]] = {}
    for name, of in part.items():
        found.setdefault(of, []).append(name)
    return list(found.values())
