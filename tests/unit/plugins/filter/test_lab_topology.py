# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.fleet.plugins.filter.lab_topology import FilterModule
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_request import Policy, places

lab_topology = FilterModule().filters()["lab_topology"]
LAB: dict[str, Any] = {
    "name": "nets", "participants": 2, "subnets": "10.60.0.0/16", "prefix": 24, "dir": "/labs/nets",
    "networks": [{"name": "lan"}, {"name": "wan", "mode": "nat", "mtu": 1400}],
    "machines": [
        {"name": "router", "image": "/srv/router.raw", "image_format": "raw", "networks": ["lan", "wan"], "memory": "64MiB"},
        {"name": "web", "image": "registry.example:5000/web:1", "networks": ["lan"], "seed": False, "options": {"graphics": "vnc"}},
    ],
}  # fmt: skip


def lab(**more: Any) -> dict[str, Any]:
    found: dict[str, Any] = lab_topology({**LAB, **more}, passwords={})
    return found


def test_each_participant_has_networks_and_addresses_of_its_own() -> None:
    found = lab()
    assert [network["name"] for network in found["networks"]] == [
        "nets-p01-lan",
        "nets-p01-wan",
        "nets-p02-lan",
        "nets-p02-wan",
    ]
    assert [each["addresses"][0]["address"] for each in found["networks"]] == [
        f"10.60.{number}.1/24" for number in range(4)
    ]
    assert found["networks"][3]["mode"] == "nat"
    assert found["networks"][3]["mtu"] == 1400
    leases = found["networks"][2]["addresses"][0]["leases"]
    assert [(lease["address"], lease["name"]) for lease in leases] == [("10.60.2.10", "router"), ("10.60.2.11", "web")]
    macs = [card["mac"] for vm in found["vms"] for card in vm["networks"]]
    assert len(set(macs)) == len(macs) == 6
    assert found == lab(), "another run gives the same"
    others = {card["mac"] for vm in lab(name="other")["vms"] for card in vm["networks"]}
    assert not others & set(macs)


def test_vms_are_linked_clones_with_labels_and_seeds() -> None:
    router, web = lab()["participants"][1]["vms"]
    assert router["disks"] == [
        {"image": router["disks"][0]["image"], "copy": "linked", "path": "/labs/nets/nets-p02-router-vda.qcow2"}
    ]
    assert router["disks"][0]["image"].startswith("/labs/nets/base-router-")
    assert router["labels"] == {"lab": "nets", "participant": "p02", "machine": "router"}
    cards = router["cloud_init"]["network_config"]["ethernets"]
    assert cards["lab0"]["addresses"] == ["10.60.2.10/24"]
    assert "routes" not in cards["lab0"]
    assert cards["lab1"]["routes"] == [{"to": "0.0.0.0/0", "via": "10.60.3.1"}]
    assert "cloud_init" not in web
    assert (web["disks"][0]["image"], web["graphics"]) == ("registry.example:5000/web:1", "vnc")


def test_images_of_the_controller_are_staged_once() -> None:
    found = lab(machines=[LAB["machines"][0], {**LAB["machines"][0], "name": "second"}])
    assert [(image["src"], image["format"]) for image in found["images"]] == [("/srv/router.raw", "raw")]
    assert lab(images_on_host=True)["images"] == []
    assert lab(images_on_host=True)["vms"][0]["disks"][0]["image"] == "/srv/router.raw"


def test_accounts_are_in_the_seeds_only() -> None:
    found = lab_topology({**LAB, "user": "student"}, passwords={"p01": "secret"})
    first, second = (one["vms"][0]["cloud_init"]["user_data"] for one in found["participants"])
    assert first["chpasswd"]["users"] == [{"name": "student", "password": "secret", "type": "text"}]
    assert second == {}
    assert "cloud_init" not in str(lab_topology(LAB))
    assert "secret" not in str(found["participants"][0]["machines"]) + str(found["networks"])


def test_participants_by_name_and_what_is_reset() -> None:
    assert [one["name"] for one in lab(participants=["ann", "bob"])["participants"]] == ["ann", "bob"]
    assert lab()["reset"] == ["p01", "p02"]
    assert lab(reset_only=["p02"])["reset"] == ["p02"]


def test_limits() -> None:
    assert lab(time_limit="4h")["limit"] == {"told": "4h", "seconds": 14400}
    assert lab(time_limit="1970-01-02 00:00")["limit"]["at"] == 86400
    assert lab(time_limit="")["limit"] == {}


def test_participants_stay_together_and_are_spread() -> None:
    found = lab(
        participants=10, machines=[{"name": f"m{number}", "image": "/i", "memory": "96MiB"} for number in range(3)]
    )
    host = {
        "memory": {"total": 8 << 30, "free": 6 << 30, "stopped": 0}, "cpus": 4, "vcpus": {"running": 0, "stopped": 0},
        "storage": [{"pool": "", "path": "/", "total": 1 << 40, "free": 1 << 40, "mount": "/"}], "default_folder": "/i",
    }  # fmt: skip
    facts: dict[str, Any] = {name: {"host": host, "vms": []} for name in ("a", "b")}
    placed = {each["vm"]: each["host"] for each in places(found["vms"], facts, found["rules"], Policy())}
    for one in found["participants"]:
        assert len({placed[vm["name"]] for vm in one["vms"]}) == 1
    assert sorted(list(placed.values()).count(name) for name in facts) == [15, 15]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"name": "My Lab"}, "lab_name: 'My Lab' can't be part"),
        ({"participants": 0}, "1 to 256"),
        ({"participants": 300}, "1 to 256"),
        ({"participants": ["a", "a"]}, "a is named twice"),
        ({"participants": ["a b"]}, "lab_participants: 'a b'"),
        ({"participants": None}, "give a number, or a list"),
        (
            {"participants": ["a", "a-b"], "networks": [{"name": "b-lan"}, {"name": "lan"}], "machines": [{"name": "x", "image": "/i"}]},
            "of networks: nets-a-b-lan is named twice",
        ),
        ({"participants": ["a", "a-b"], "machines": [{"name": "b-c", "image": "/i"}, {"name": "c", "image": "/i"}]}, "nets-a-b-c is named twice"),
        ({"dir": "/labs/it's"}, "lab_dir: '/labs/it's' can't be the lab's folder"),
        ({"dir": "/labs/../srv"}, "can't be the lab's folder"),
        ({"dir": "/"}, "can't be the lab's folder"),
        ({"machines": []}, "at least one machine"),
        ({"machines": "x"}, "a list of dictionaries"),
        ({"machines": [{"name": "a"}]}, "a has no image"),
        ({"machines": [{"name": "a", "image": "/i", "networks": ["dmz"]}]}, "a is on dmz, which lab_networks doesn't have"),
        ({"machines": [{"name": "a", "image": "/i", "ram": 1}]}, "a has ram"),
        ({"machines": [{"name": "a", "image": "/i", "options": {"disks": []}}]}, "options of a have disks"),
        ({"networks": [{"name": "lan", "mode": "bridge"}]}, "isolated, nat or routed"),
        ({"subnets": "10.60.0.0/24", "prefix": 26, "participants": 3}, "has 4 subnets of /26, and the lab needs 6"),
        ({"subnets": "nonsense"}, "no range of IPv4"),
        ({"prefix": 30}, "makes no subnets"),
        ({"reset_only": ["p09"]}, "p09 is no participant"),
        ({"time_limit": "soon"}, "neither a span"),
        ({"time_limit": "9999999d"}, "neither a span"),
    ],
)  # fmt: skip
def test_what_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(AnsibleFilterError, match=said):
        lab(**changed)
