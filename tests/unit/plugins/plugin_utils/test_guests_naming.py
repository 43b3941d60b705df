# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.plugin_utils.guests_naming import (
    PATTERN,
    groups_of,
    guests_of,
    image_and_version,
    image_of_catalog,
)


def vm(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "state": "running", "labels": {}, "disks": [], "networks": [], **more}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/images/web-1.4.2.qcow2", ("web", "1.4.2")),
        ("/images/web_v2.raw", ("web", "2")),
        ("/images/web-1.4", ("web", "1.4")),
        ("/images/debian-12-web-3.qcow2", ("debian", "12-web-3")),
        ("/images/web.qcow2", ("web", "")),
        ("/images/12.qcow2", ("12", "")),
        ("", ("", "")),
    ],
)
def test_image_and_version(path: str, expected: tuple[str, str]) -> None:
    assert image_and_version(path, re.compile(PATTERN)) == expected


HEX = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("registry.example:5000/team/debian:12.8", ("team/debian", "12.8")),
        (f"registry.example:5000/team/debian:stable@sha256:{HEX}", ("team/debian", "stable")),
        (f"registry.example:5000/team/debian@sha256:{HEX}", ("team/debian", "0123456789abcdef")),
        ("dir:/srv/images/debian", ("debian", "latest")),
        ("https://server.example/images/web:7", ("web", "7")),
        ("no reference", None),
        ("", None),
    ],
)
def test_image_of_catalog(reference: str, expected: tuple[str, str] | None) -> None:
    assert image_of_catalog({"reference": reference}) == expected


def test_the_catalog_goes_before_the_name_of_the_file() -> None:
    pulled = {"reference": "reg.example/debian:12.8", "digest": f"sha256:{HEX}", "disk": "disk"}
    file, reference = {"made_from": "/i/deb-3.qcow2"}, {"image": pulled}
    for disks in [{**file, **reference}], [{"made_from": "", "image": {}}, reference]:
        known = guests_of({"x": {"vms": [vm("a", disks=disks)]}}, taken=(), full=False)[0].variables
        assert (known["guest_image"], known["guest_version"]) == ("debian", "12.8")
        assert (known["guest_image_reference"], known["guest_image_digest"]) == (
            "reg.example/debian:12.8",
            f"sha256:{HEX}",
        )
    plain = guests_of({"x": {"vms": [vm("a", disks=[{**file, "image": {}}, reference])]}}, taken=(), full=False)[0]
    assert (plain.variables["guest_image"], plain.variables["guest_version"]) == ("deb", "3")
    assert plain.variables["guest_image_reference"] == ""


@pytest.mark.parametrize(
    ("options", "names"),
    [
        ({}, ["a", "b.x", "c.x", "b.y"]),
        ({"full": True}, ["a.x", "b.x", "c.x", "b.y"]),
        ({"taken": {"a"}}, ["a.x", "b.x", "c", "b.y"]),
    ],
)
def test_names(options: dict[str, Any], names: list[str]) -> None:
    answers = {
        "y": {"vms": [vm("b"), vm("gone", state="absent")]},
        "x": {"vms": [vm("a"), vm("b"), vm("c")]},
        "z": {"error": "it gave no answer"},
    }
    found = guests_of(answers, **{"taken": {"c", "z"}, "full": False, **options})
    assert [guest.name for guest in found] == names


def test_variables_and_groups() -> None:
    machine = vm(
        "a",
        uuid="u",
        memory=1024,
        labels={"role": "web", "new": ""},
        disks=[{"made_from": ""}, {"made_from": "/i/web-2.qcow2"}],
        addresses=["192.0.2.7", "2001:db8::7"],
    )
    guest = guests_of({"x": {"vms": [machine]}}, taken=(), full=False)[0]
    known = guest.variables
    assert (known["ansible_host"], known["guest_address"]) == ("192.0.2.7", "192.0.2.7")
    assert (known["guest_image"], known["guest_version"], known["guest_image_path"]) == ("web", "2", "/i/web-2.qcow2")
    assert (known["guest_host"], known["guest_uuid"], known["guest_memory"]) == ("x", "u", 1024)
    kinds = ["state", "host", "image", "version", "label"]
    assert list(groups_of(guest, kinds)) == [
        "state_running", "host_x", "image_web", "version_web_2", "label_new", "label_role_web",
    ]  # fmt: skip


def test_a_guest_of_which_little_is_known() -> None:
    broken = {"name": "a", "state": "unknown", "error": "It can't be read."}
    guest = guests_of({"x": {"vms": [broken]}}, taken=(), full=False)[0]
    assert "ansible_host" not in guest.variables
    assert (guest.variables["guest_error"], guest.variables["guest_addresses"]) == ("It can't be read.", [])
    assert list(groups_of(guest, ["state", "image", "version", "label"])) == ["state_unknown"]


def test_leases_when_no_other_way_was_asked() -> None:
    leased = vm("a", networks=[{"addresses": ["192.0.2.9"]}, {"network": "default"}])
    assert guests_of({"x": {"vms": [leased]}}, taken=(), full=False)[0].variables["ansible_host"] == "192.0.2.9"


@pytest.mark.parametrize(
    "more",
    [
        {"addresses": ["-oProxyCommand=touch /tmp/x", "127.0.0.1", "{{ x }}", None, "fe80::1%eth0"]},
        {"networks": [{"addresses": ["-oProxyCommand=touch /tmp/x"]}]},
    ],
)
def test_what_is_no_address_is_none(more: dict[str, Any]) -> None:
    known = guests_of({"x": {"vms": [vm("a", **more)]}}, taken=(), full=False)[0].variables
    assert (known["guest_addresses"], known["guest_address"], "ansible_host" in known) == ([], "", False)
    told = vm("a", addresses=["-oX", "2001:DB8::7"])
    assert guests_of({"x": {"vms": [told]}}, taken=(), full=False)[0].variables["ansible_host"] == "2001:db8::7"
