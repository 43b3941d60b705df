# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, InvalidOption, MissingLibrary
from ansible_collections.imageops.fleet.plugins.module_utils._operations import ownership, ownership_change, usage
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.usage import User

NOTHING: dict[str, Any] = {"owner": None, "group": None, "mode": None}


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "x"
    path.write_bytes(b"")
    path.chmod(0o600)
    return str(path)


@pytest.fixture(autouse=True)
def users(monkeypatch: pytest.MonkeyPatch) -> list[User]:
    """The domains that use the file."""
    found: list[User] = []
    monkeypatch.setattr(usage, "domains_using", lambda path, tools: found)
    return found


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"mode": "0640"}),
        ({"mode": "0600"}, {"mode": "0600"}),
        ({"mode": "600"}, {"mode": "0600"}),
        ({"mode": 0o644}, {"mode": "0644"}),
        ({"owner": "4711", "group": "4712"}, {"owner": "4711", "group": "4712"}),
        ({"owner": "root", "group": "root"}, {"owner": "root", "group": "root"}),
    ],
)
def test_what_a_new_file_gets(given: dict[str, Any], wanted: dict[str, Any]) -> None:
    found = ownership.check_ownership(**{**NOTHING, **given})
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"owner": "no-such-user"}, "owner: there is no user 'no-such-user'"),
        ({"group": "no-such-group"}, "group: there is no group 'no-such-group'"),
        ({"mode": "u=rw"}, "mode: 'u=rw' is not a mode"),
        ({"mode": 70000}, "mode: '70000' is not a mode"),
        ({"mode": True}, "mode: 'True' is not a mode"),
        ({"mode": [420]}, "mode: '.420.' is not a mode"),
        ({"mode": 1.5}, "mode: '1.5' is not a mode"),
        ({"owner": "4294967295"}, "owner: 4294967295 is too large"),
        ({"group": "9" * 5000}, "group: 9+ is too large"),
        ({"owner": "a\0b"}, "owner: there is no user"),
    ],
)
def test_what_does_not_exist_is_named(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        ownership.check_ownership(**{**NOTHING, **given})


def test_a_folder_passes_its_group_on(tmp_path: Path) -> None:
    os.chown(tmp_path, -1, 4712 if os.geteuid() == 0 else os.getegid())
    tmp_path.chmod(0o2770)
    expected = ownership.check_ownership(**NOTHING, path=str(tmp_path / "x"))
    (tmp_path / "x").write_bytes(b"")
    ownership.apply_to_new(str(tmp_path / "x"), **NOTHING)
    assert ownership.ownership_of(str(tmp_path / "x")) == expected


def test_nothing_declared_is_nothing_to_do(file: str) -> None:
    steps, warnings, owned = ownership_change.plan_ownership(file, **NOTHING, tools=Tools())
    assert (steps, warnings, owned["mode"]) == ((), (), "0600")


def test_an_unused_file_gets_what_is_declared(file: str) -> None:
    steps, warnings, owned = ownership_change.plan_ownership(file, **{**NOTHING, "mode": "0644"}, tools=Tools())
    assert ownership.ownership_of(file)["mode"] == "0600"
    for step in steps:
        step.run()
    assert not warnings and ownership.ownership_of(file) == owned and owned["mode"] == "0644"


def test_a_file_of_a_domain_stays_with_a_warning(file: str, users: list[User]) -> None:
    users.append(User("domain", "web", "it is a disk of the running domain web"))
    steps, warnings, owned = ownership_change.plan_ownership(file, **{**NOTHING, "mode": "0644"}, tools=Tools())
    assert (steps, owned["mode"]) == ((), "0600")
    assert warnings == (
        f"{file}: mode is 0600, declared is 0644, but it is a disk of the running domain web; it is left as it is.",
    )


def test_what_can_not_be_known_is_left(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(path: str, tools: Tools) -> list[User]:
        raise MissingLibrary("libvirt is missing.")

    monkeypatch.setattr(usage, "domains_using", unknown)
    steps, warnings, _owned = ownership_change.plan_ownership(file, **{**NOTHING, "mode": "0644"}, tools=Tools())
    assert not steps and "libvirt is missing" in warnings[0]


def test_a_read_only_file_system_is_refused_before_anything_is_done(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ownership_change, "is_read_only", lambda path: True)
    assert ownership_change.plan_ownership(file, **{**NOTHING, "mode": "0600"}, tools=Tools())[0] == ()
    with pytest.raises(Conflict, match="mode is 0600, declared is 0640, and its file system is read-only"):
        ownership_change.plan_ownership(file, **{**NOTHING, "mode": "0640"}, tools=Tools())
