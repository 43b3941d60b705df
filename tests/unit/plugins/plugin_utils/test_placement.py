# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import random
import time
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement import place
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_rules import Rule
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_types import Host, Vm
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_words import Impossible

GIB = 1 << 30


def host(name: str, memory: int = 16, vcpus: int = 16, **options: Any) -> Host:
    has = {"memory": memory * GIB, "vcpus": vcpus, "disk /": 100 * GIB}
    used = options.pop("used", 0)
    free = {**has, "memory": (memory - used) * GIB}
    return Host(name, has, free, folders={"/": "disk /"}, default_folder="/images", **options)


def vm(name: str, memory: int = 1, vcpus: int = 1, **options: Any) -> Vm:
    return Vm(name, {"memory": memory * GIB, "vcpus": vcpus}, **options)


def where(vms: list[Vm], hosts: list[Host], rules: list[Rule] | None = None) -> dict[str, str]:
    return {each.vm: each.host for each in place(vms, hosts, rules or [])}


IMAGE = frozenset({"registry.example/debian:12"})
WEB = {"web-1": {"role": "web"}}
TABLE = {
    "alike hosts get alike": ([vm("a"), vm("b")], [host("x"), host("y")], [], {"a": "x", "b": "y"}),
    "the emptier host": ([vm("a")], [host("x", used=8), host("y")], [], {"a": "y"}),
    "the larger host": ([vm("a")], [host("x"), host("y", memory=64)], [], {"a": "x"}),
    "cpu can be the scarce one": ([vm("a", vcpus=4)], [host("x", vcpus=4), host("y", memory=8)], [], {"a": "y"}),
    "the large one first": ([vm("a", 1), vm("b", 12)], [host("x", 12), host("y", 8)], [], {"a": "y", "b": "x"}),
    "what is there stays": ([vm("a")], [host("x", used=15, vms={"a": {}}), host("y")], [], {"a": "x"}),
    "apart by names": (
        [vm("a-1"), vm("a-2")], [host("x", memory=64, vcpus=64), host("y")], [Rule("apart", 1, ("a-*",))],
        {"a-1": "x", "a-2": "y"},
    ),
    "apart from one that is there": (
        [vm("web-2", labels={"role": "web"})], [host("x", vms=WEB), host("y", used=14)],
        [Rule("apart", 1, labels={"role": "web"})], {"web-2": "y"},
    ),
    "two at most": (
        [vm("a-1"), vm("a-2"), vm("a-3")], [host("x", memory=64, vcpus=64), host("y")],
        [Rule("apart", 1, ("a-*",), most=2)], {"a-1": "x", "a-2": "x", "a-3": "y"},
    ),
    "each value of a label": (
        [vm("a", labels={"app": "1"}), vm("b", labels={"app": "1"}), vm("c", labels={"app": "2"})],
        [host("x", memory=64, vcpus=64), host("y")], [Rule("apart", 1, by="app")], {"a": "x", "b": "y", "c": "x"},
    ),
    "soft gives way": ([vm("a-1"), vm("a-2")], [host("x")], [Rule("apart", 1, ("a-*",), hard=False)], {"a-1": "x", "a-2": "x"}),
    "soft is kept": (
        [vm("a-1"), vm("a-2")], [host("x", memory=64, vcpus=64), host("y", used=8)],
        [Rule("apart", 1, ("a-*",), hard=False)], {"a-1": "x", "a-2": "y"},
    ),
    "together": ([vm("a"), vm("b")], [host("x"), host("y")], [Rule("together", 1, ("a", "b"))], {"a": "x", "b": "x"}),
    "together as one, where all fit": (
        [vm("a", 6), vm("b", 6)], [host("x", 8, vcpus=64), host("y", 16, vcpus=2)], [Rule("together", 1, ("a", "b"))],
        {"a": "y", "b": "y"},
    ),
    "together with one that is there": (
        [vm("web-2")], [host("x", used=12, vms=WEB), host("y")], [Rule("together", 1, ("web-*",))], {"web-2": "x"},
    ),
    "soft together": ([vm("a", 2), vm("b")], [host("x"), host("y")], [Rule("together", 1, ("a", "b"), hard=False)], {"a": "x", "b": "x"}),
    "another way is tried": (
        # The best place for a is x, where b must go.
        [vm("a", 8), vm("b", 7, labels={"role": "web"})], [host("x", 14), host("y", 8, vms={"w": {"role": "web"}})],
        [Rule("apart", 1, labels={"role": "web"})], {"a": "y", "b": "x"},
    ),
    "the host that holds the image": (
        [vm("a", images=IMAGE)], [host("x"), host("y", images=IMAGE)], [], {"a": "y"},
    ),
    "not for more than the image costs": (
        [vm("a", images=IMAGE)], [host("x"), host("y", used=1, images=IMAGE)], [], {"a": "x"},
    ),
    "one image is fetched once": (
        [vm("a", images=IMAGE), vm("b", images=IMAGE)], [host("x", 64, 64), host("y", 64, 64, used=2, images=IMAGE)],
        [Rule("together", 1, ("a", "b"))], {"a": "y", "b": "y"},
    ),
    "disks": (
        [vm("a", disks={"": 60 * GIB}), vm("b", disks={"/data": 60 * GIB})], [host("x", memory=64), host("y")], [],
        {"a": "x", "b": "y"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_places(case: str) -> None:
    vms, hosts, rules, expected = TABLE[case]
    assert where(vms, hosts, rules) == expected


@pytest.mark.parametrize("case", TABLE)
def test_order_of_input_does_not_matter(case: str) -> None:
    vms, hosts, rules, expected = TABLE[case]
    assert where(vms[::-1], hosts[::-1], rules) == expected


@pytest.mark.parametrize("case", TABLE)
def test_second_run_moves_nothing(case: str) -> None:
    vms, hosts, rules, expected = TABLE[case]
    labels = {each.name: each.labels for each in vms}
    after = [
        Host(
            each.name, each.total, each.free, folders=each.folders, default_folder=each.default_folder,
            vms={**each.vms, **{name: labels[name] for name, of in expected.items() if of == each.name}},
        )
        for each in hosts
    ]  # fmt: skip
    again = place([Vm(each.name, labels=each.labels) for each in vms], after, rules)
    assert {each.vm: each.host for each in again} == expected
    assert all(each.why.startswith("is there already") for each in again)


REFUSALS = {
    "no memory": (
        [vm("a", 20)],
        [host("x"), host("y", 8)],
        [],
        (
            "There is no room for a: it needs 20 GiB of memory, 1 vCPU; x has only 16 GiB of memory left; "
            "y has only 8 GiB of memory left."
        ),
    ),
    "no cpus": ([vm("a", vcpus=17)], [host("x")], [], "x has only 16 vCPUs left"),
    "no space": ([vm("a", disks={"/srv": 200 * GIB})], [host("x")], [], "x has only 100 GiB in / left"),
    "too many apart": (
        [vm("a-1"), vm("a-2"), vm("a-3")],
        [host("x"), host("y")],
        [Rule("apart", 1, ("a-*",))],
        (
            "There is no room for a-3: it needs 1 GiB of memory, 1 vCPU; with 2 VMs placed x has a-1, and rule 1 keeps them apart; "
            "y has a-2, and rule 1 keeps them apart."
        ),
    ),
    "no room where it belongs": (
        [vm("b", 4)],
        [host("x", used=14, vms={"a": {}}), host("y")],
        [Rule("together", 3, ("a", "b"))],
        "x has only 2 GiB of memory left; y is not where the VMs are with which a rule keeps it together.",
    ),
    "rules against each other": (
        [vm("a"), vm("b")],
        [host("x"), host("y")],
        [Rule("together", 1, ("*",)), Rule("apart", 2, ("*",))],
        "Rule 2 keeps a and b apart, and another rule keeps them together; change one.",
    ),
    "no hosts": ([vm("a")], [], [], "There is no host to place a on."),
    "on two hosts": (
        [vm("a")],
        [host("x", vms={"a": {}}), host("y", vms={"a": {}})],
        [],
        "There is a VM called a on x and y;",
    ),
    "a folder that nobody knows": (
        [vm("a", disks={"/srv": 1})],
        [Host("x", {}, {"memory": GIB, "vcpus": 1})],
        [],
        "The free space of /srv on x, where a has a disk, isn't known;",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals(case: str) -> None:
    vms, hosts, rules, words = REFUSALS[case]
    with pytest.raises(Impossible) as caught:
        place(vms, hosts, rules)
    assert words in str(caught.value)


def test_what_is_there_is_told_when_a_rule_would_have_it_otherwise() -> None:
    hosts = [host("x", vms={"a": {}, "b": {}}), host("y")]
    found = place([vm("a")], hosts, [Rule("apart", 1, ("*",))])
    assert found[0].why == "is there already, though rule 1 wants it apart from b"


def test_many_vms_on_many_hosts() -> None:
    hosts = [host(f"h{number}", 256, 256) for number in range(50)]
    vms = [vm(f"v{number}", number % 7 + 1, labels={"app": str(number % 40)}) for number in range(1000)]
    random.Random(1).shuffle(vms)
    begin = time.process_time()
    found = where(vms, hosts, [Rule("apart", 1, by="app", hard=False)])
    assert time.process_time() - begin < 120  # a search that goes back without a plan takes for ever
    used = [sum(each.needs["memory"] for each in vms if found[each.name] == one.name) for one in hosts]
    assert max(used) - min(used) <= 8 * GIB
