# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.guest_work_spec import STEPS
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, InvalidOption, NotFound
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_steps import read_steps

FILE: dict[str, Any] = {"dest": "/etc/x", "owner": None, "group": None, "mode": None, "content": None, "secret": None}
USER: dict[str, Any] = {
    "name": "ops", "uid": None, "groups": None, "shell": None, "sudo": False, "password": None, "password_hash": None,
}  # fmt: skip


def step(**given: Any) -> dict[str, Any]:
    """A step as AnsibleModule gives it."""
    return {**dict.fromkeys(STEPS), **given}


def test_steps_keep_their_order_and_lose_their_secrets() -> None:
    found = read_steps(
        [step(hostname="one"), step(user={**USER, "password": "hidden"}), step(write={**FILE, "secret": "too"})]
    )
    assert found.kinds() == ["hostname", "user", "write"]
    assert found.secrets == {"step2.password": "hidden", "step3.secret": "too"}
    assert found.value_of("user")["password"] == "step2.password"
    assert "hidden" not in repr(found.steps) and "too" not in repr(found.steps)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({}, "step 1 must be of just one kind, and has: none"),
        ({"hostname": "a", "timezone": "UTC"}, "and has: hostname, timezone"),
        ({"hostname": "a b"}, "'a b' can't be such a name"),
        ({"timezone": "../../etc/passwd"}, "can't be such a name"),
        ({"packages": []}, "nothing is named"),
        ({"packages": ["--download-only"]}, "'--download-only' can't be such a name"),
        ({"packages": ["a$(reboot)"]}, "can't be such a name"),
        ({"upgrade": False}, "only 'true' is a step"),
        ({"delete": ["/"]}, "'/' is not the absolute path"),
        ({"delete": ["etc/x"]}, "is not the absolute path"),
        ({"delete": ["/etc/../x"]}, "is not the absolute path"),
        ({"write": {**FILE, "content": "a", "secret": "b"}}, "give either content, or secret"),
        ({"write": FILE}, "give either content, or secret"),
        ({"write": {**FILE, "content": "a", "mode": "rw"}}, "mode 'rw' is none"),
        ({"write": {**FILE, "content": "a", "owner": "a:b"}}, "'a:b' can't be such a name"),
        ({"user": {**USER, "password": "a", "password_hash": "b"}}, "give either password or password_hash"),
        ({"user": {**USER, "password": "a\nroot:b"}}, "holds a line break"),
        ({"user": {**USER, "name": "a:b"}}, "can't be such a name"),
        ({"user": {**USER, "uid": -1}}, "uid -1 is no user's number"),
        ({"user": {**USER, "password_hash": "$6$a:0:0"}}, "password_hash holds a colon"),
        ({"ssh_key": {"user": "ops", "keys": ["nonsense"]}}, "'nonsense' is not a public key"),
        ({"run": {"script": " \n", "network": False}}, "the script is empty"),
        ({"service": {"name": "-x", "state": "enabled"}}, "can't be such a name"),
        ({"harden": ["all"]}, "'all' is none of"),
    ],
)
def test_a_step_that_cant_be_is_named_by_its_number(given: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOption, match="^steps: step 1") as caught:
        read_steps([step(**given)])
    assert says in str(caught.value)


def test_a_disk_grows_once() -> None:
    with pytest.raises(InvalidOption, match="grows once"):
        read_steps([step(grow="last"), step(grow="last")])


def test_the_content_of_a_copied_folder_is_part_of_the_recipe(tmp_path: Path) -> None:
    source = {"src": str(tmp_path), "dest": "/opt", "owner": None, "group": None, "mode": None}
    (tmp_path / "a").mkdir()
    (tmp_path / "a/file").write_text("one")
    os.symlink("nowhere", tmp_path / "link")

    def digest() -> str:
        return str(read_steps([step(copy=source)]).value_of("copy")["digest"])

    before = digest()
    assert digest() == before
    (tmp_path / "a/file").write_text("two")
    assert digest() != before
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(Conflict, match="pipe is neither a file"):
        digest()


def test_what_is_copied_must_be_there() -> None:
    with pytest.raises(NotFound, match="there is no /nowhere/file on the host"):
        read_steps([step(copy={"src": "/nowhere/file", "dest": "/x", "owner": None, "group": None, "mode": None})])
