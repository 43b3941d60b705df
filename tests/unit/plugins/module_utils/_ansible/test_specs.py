# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.specs import ModuleSpec, batch_spec
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption

OPTIONS: dict[str, Any] = {
    "dest": {"type": "path"},
    "format": {"type": "str"},
    "force": {"type": "bool"},
    "options": {"type": "dict"},
}
SPEC = batch_spec(
    "disks", OPTIONS, key="dest", defaults={"format": "qcow2", "force": False}, common={"wait": {"type": "int"}}
)


def test_null_is_no_name_of_an_item() -> None:
    params = dict.fromkeys(SPEC.argument_spec)
    for given in ({}, {"disks": [{"dest": None}]}, {"disks": [{"dest": "/a"}, {}]}):
        with pytest.raises(InvalidOption, match="^dest: null"):
            SPEC.items({**params, **given})


def test_defaults_stand_at_the_top_only() -> None:
    assert SPEC.argument_spec["format"]["default"] == "qcow2"
    suboptions = SPEC.argument_spec["disks"]["options"]
    assert "default" not in suboptions["format"]
    assert suboptions["dest"]["required"]
    assert "required" not in SPEC.argument_spec["dest"]
    assert "wait" not in suboptions
    assert OPTIONS["format"] == {"type": "str"}


def test_one_form_at_a_time() -> None:
    assert SPEC.constraints == {
        "mutually_exclusive": [("dest", "disks")],
        "required_one_of": [("dest", "disks")],
    }


def test_an_item_takes_what_it_leaves_out_from_the_task() -> None:
    params = {
        "dest": None,
        "format": "raw",
        "force": True,
        "options": {"a": 1},
        "wait": 5,
        "disks": [
            {"dest": "/a", "format": None, "force": None, "options": None},
            {"dest": "/b", "format": "vdi", "force": False, "options": {}},
        ],
    }
    assert SPEC.items(params) == [
        {"dest": "/a", "format": "raw", "force": True, "options": {"a": 1}, "wait": 5},
        {"dest": "/b", "format": "vdi", "force": False, "options": {}, "wait": 5},
    ]


def test_the_single_form_and_the_empty_list() -> None:
    single = {"dest": "/a", "format": "raw", "disks": None}
    assert SPEC.items(single) == [{"dest": "/a", "format": "raw"}]
    assert SPEC.items({**single, "dest": None, "disks": []}) == []


def test_a_module_without_a_list() -> None:
    assert ModuleSpec({"x": {}}).items({"x": 1}) == [{"x": 1}]
