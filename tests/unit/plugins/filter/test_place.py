# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.fleet.plugins.filter.place import FilterModule

GIB = 1 << 30
place = FilterModule().filters()["place"]


def facts(free: int = 8, *, vms: list[dict[str, Any]] | None = None, stopped: int = 0, **host: Any) -> dict[str, Any]:
    """What host_info tells of a host with 16 GiB and 4 CPUs."""
    memory = {"total": 16 * GIB, "available": free * GIB, "promised": 0, "free": free * GIB, "stopped": stopped * GIB}
    storage = [
        {"pool": "default", "path": "/images", "mount": "/", "total": 100 * GIB, "free": 50 * GIB},
        {"pool": "", "path": "/srv/fast", "mount": "/srv", "total": 10 * GIB, "free": 10 * GIB},
    ]
    told = {"memory": memory, "cpus": 4, "vcpus": {"running": 0, "stopped": 0}, "storage": storage, "hugepages": []}
    return {"host": {**told, "default_folder": "/images", **host}, "vms": vms or [], "changed": False}


def has(name: str, memory: int = 1, *, running: bool = True, **more: Any) -> dict[str, Any]:
    return {"name": name, "running": running, "memory": memory * GIB, "vcpus": 1, "labels": {}, **more}


def where(vms: list[dict[str, Any]], found: dict[str, Any], **options: Any) -> list[str]:
    return [each["host"] for each in place(vms, found, **options)]


DIGEST = f"sha256:{'a' * 64}"
HELD = {"path": "/images/debian.qcow2", "digest": DIGEST, "reference": "reg.example/debian:latest"}
NAMES = iter("abcdefghijklmnopqrstuvwxyz")


def of(image: str) -> dict[str, Any]:
    return {"name": next(NAMES), "disks": [{"image": image}]}


HUGE = [{"page": 1 << 21, "total": 4 * GIB, "free": 4 * GIB}]
TABLE: dict[str, tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any], list[str]]] = {
    "by memory": ([{"name": "a"}, {"name": "b"}], {"x": facts(4), "y": facts(15)}, {}, ["y", "y"]),
    "nothing to place": ([], {"x": facts()}, {}, []),
    "input's order": ([{"name": "b", "memory": "6G"}, {"name": "a", "memory": "7G"}], {"x": facts(7), "y": facts(6)}, {}, ["y", "x"]),
    "memory that was overcommitted": ([{"name": "a", "memory": "12GiB"}], {"x": facts(8)}, {"memory_ratio": 1.5}, ["x"]),
    "a folder with room": (
        [{"name": "a", "disks": [{"size": "9GiB", "path": "/srv/fast/a.qcow2"}, {"size": "9GiB", "path": "/srv/fast/sub/b"}]}],
        {"x": facts(storage=[{"path": "/srv", "mount": "/srv", "total": 20 * GIB, "free": 20 * GIB}]), "y": facts(15)}, {}, ["x"],
    ),
    "full copies": (
        [{"name": "a"}, {"name": "b"}], {"x": facts(15), "y": facts(8)},
        {"disks": [{"image": "/i", "copy": "full"}], "image_sizes": {"/i": 30 * GIB}}, ["x", "y"],
    ),
    "huge pages": ([{"name": "a", "hugepages": True}], {"x": facts(15), "y": facts(1, hugepages=HUGE)}, {}, ["y"]),
    "stays, and grows": (
        [{"name": "a", "memory": "6GiB"}, {"name": "b", "memory": "4GiB"}], {"x": facts(8, vms=[has("a")]), "y": facts(4)}, {},
        ["x", "y"],
    ),
    "a stopped one is going to take all": (
        [{"name": "a"}, {"name": "b", "memory": "4GiB"}], {"x": facts(8, vms=[has("a", 6, running=False)]), "y": facts(4)}, {},
        ["x", "y"],
    ),
    "stopped ones count when told": ([{"name": "a"}], {"x": facts(8, stopped=7), "y": facts(4)}, {"count_stopped": True}, ["y"]),
    "a tag that a host holds": ([of("reg.example/debian")], {"x": facts(), "y": facts(images=[HELD])}, {}, ["y"]),
    "a tag that a host holds by its digest, too": (
        [of("reg.example/debian")], {"x": facts(), "y": facts(images=[{**HELD, "reference": f"reg.example/debian:latest@{DIGEST}"}])}, {}, ["y"],
    ),
    "a digest that was pulled by no tag": (
        [of("reg.example/debian")], {"x": facts(), "y": facts(images=[{**HELD, "reference": f"reg.example/debian@{DIGEST}"}])}, {}, ["x"],
    ),
    "a digest that a host holds": ([of(f"dir:/srv/debian:12@{DIGEST}")], {"x": facts(), "y": facts(images=[HELD])}, {}, ["y"]),
    "a file that a host holds": ([of("/images//debian.qcow2")], {"x": facts(), "y": facts(images=[HELD])}, {}, ["y"]),
    "another tag": ([of("reg.example/debian:13")], {"x": facts(), "y": facts(images=[HELD])}, {}, ["x"]),
    "a transfer that costs much": ([of("reg.example/debian")], {"x": facts(), "y": facts(4, images=[HELD])}, {"image_cost": 1}, ["y"]),
    "one that costs nothing": (
        [of("reg.example/debian"), of("reg.example/debian")], {"x": facts(), "y": facts(images=[HELD])}, {"image_cost": 0}, ["y", "x"],
    ),
    "absent": (
        [{"name": "a", "state": "absent"}, {"name": "b", "state": "absent"}, {"name": "c"}],
        {"x": facts(8, vms=[has("a")]), "y": facts(7)}, {"rules": [{"apart": "*"}]}, ["x", "", "x"],
    ),
    "labels of what is there": (
        [{"name": "b", "labels": {"tier": 1}}], {"x": facts(8, vms=[has("a", labels={"tier": "1"})]), "y": facts(4)},
        {"rules": [{"apart": {"labels": {"tier": 1}}}]}, ["y"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_hosts(case: str) -> None:
    vms, found, options, expected = TABLE[case]
    assert where(vms, found, **options) == expected


def test_says_why() -> None:
    assert place([{"name": "a"}], {"x": facts(), "y": facts(4)}) == [
        {"vm": "a", "host": "x", "why": "leaves the most room: memory is 56% full then"}
    ]


ERRORS: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "no list": ("a", {}, {}, "it takes a list of VMs"),
    "no name": ([{"memory": 1}], {}, {}, "a dictionary with a name"),
    "twice": ([{"name": "a"}, {"name": "a"}], {}, {}, "The VM a is listed twice"),
    "other facts": ([{"name": "a"}], {"x": {"msg": "failed"}}, {}, "The facts of x are not what imageops.fleet.host_info returns"),
    "bad memory": ([{"name": "a", "memory": "lots"}], {"x": facts()}, {}, "memory of the VM a: 'lots' is not a size"),
    "bad vcpus": ([{"name": "a", "vcpus": "two"}], {"x": facts()}, {}, "vcpus of the VM a: 'two' is not a whole number"),
    "no room": ([{"name": "a", "memory": "9GiB"}], {"x": facts()}, {}, "x has only 8 GiB of memory left"),
    "kept free": ([{"name": "a", "memory": "8GiB"}], {"x": facts()}, {"keep_memory": "1GiB"}, "x has only 7 GiB of memory left"),
    "cpus": ([{"name": "a", "vcpus": 5}], {"x": facts()}, {"cpu_ratio": 1}, "x has only 4 vCPUs left"),
    "ratio": ([], {}, {"cpu_ratio": 0}, "cpu_ratio: '0' is not a number above 0"),
    "an absent one on two hosts": (
        [{"name": "a", "state": "absent"}], {"x": facts(vms=[has("a")]), "y": facts(vms=[has("a")])}, {}, "on x and y; remove them",
    ),
    "a rule of no kind": ([], {}, {"rules": [{"near": "a"}]}, "Rule 1 of the placement is none"),
    "a rule of two kinds": ([], {}, {"rules": [{"apart": "a", "together": "b"}]}, "Rule 1 of the placement is none"),
    "a rule for nobody": ([], {}, {"rules": [{"apart": {"name": "a"}}]}, "apart takes names, or names, labels and by"),
    "a rule half hard": ([], {}, {"rules": [{"apart": "a", "hard": "rather"}]}, "'rather' is neither true nor false"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_errors(case: str) -> None:
    vms, found, options, words = ERRORS[case]
    with pytest.raises(AnsibleFilterError) as caught:
        place(vms, found, **options)
    assert words in str(caught.value)
