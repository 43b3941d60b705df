# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption, NotFound
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.snapshots import Snapshot
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_expand import (
    age,
    every_snapshot,
    expired,
)

NOW = 1_000_000
ITEM: dict[str, Any] = {
    "name": "a", "vm": "test", "vms": None, "state": "present", "keep": None, "older_than": None, "uri": "test:///default",
}  # fmt: skip


def taken(*ages: int) -> list[Snapshot]:
    """Snapshots called after their age in seconds."""
    return [Snapshot(f"n{one}", "external", False, "stopped", "", NOW - one, "", False, None) for one in ages]


@pytest.mark.parametrize(
    ("ages", "keep", "older_than", "gone"),
    [
        ((30, 10, 20), 1, None, ["n30", "n20"]),
        ((30, 10, 20), 3, None, []),
        ((30, 10, 20), 9, None, []),
        ((30, 10, 20), 0, None, ["n30", "n20", "n10"]),
        ((30, 10, 20), None, "15s", ["n30", "n20"]),
        ((30, 10, 20), None, "30s", []),
        ((30, 10, 20), 2, "15s", ["n30"]),
        ((30, 10, 20), 0, "1m", []),
        ((), 0, None, []),
    ],
)
def test_what_goes(ages: tuple[int, ...], keep: int | None, older_than: str | None, gone: list[str]) -> None:
    assert expired(taken(*ages), keep=keep, older_than=older_than, now=NOW) == gone


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("2m", 120), ("12h", 43200), ("7d", 604800), ("1 w", 604800)]
)
def test_ages(text: str, seconds: int) -> None:
    assert age(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-1d", "1.5d", "7", "1y", "1d1h", "9999999d", "7d\n"])
def test_what_is_no_age(text: str) -> None:
    with pytest.raises(InvalidOption, match="^older_than: "):
        age(text)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"vms": ["test"]}, "give one of vm and vms"),
        ({"keep": 1}, "need state: absent"),
        ({"older_than": "1d"}, "need state: absent"),
        ({"keep": -1, "state": "absent"}, "less than nothing"),
    ],
)
def test_refusals(options: dict[str, Any], says: str) -> None:
    tools = Tools()
    with pytest.raises(InvalidOption, match=says):
        list(every_snapshot({**ITEM, **options}, tools))
    tools.close()


@pytest.mark.parametrize(
    ("vms", "names"), [(["*"], ["test"]), (["t*", "test"], ["test"]), (["nobody*"], []), (["test"], ["test"]), ([], [])]
)
def test_vms(vms: list[str], names: list[str]) -> None:
    tools = Tools()
    assert [item["vm"] for item in every_snapshot({**ITEM, "vm": None, "vms": vms}, tools)] == names
    tools.close()


def test_a_vm_that_is_not_there() -> None:
    tools = Tools()
    with pytest.raises(NotFound, match="no VM called nobody"):
        list(every_snapshot({**ITEM, "vm": None, "vms": ["nobody"]}, tools))
    tools.close()


def test_nothing_to_let_go_is_no_item() -> None:
    tools = Tools()
    assert list(every_snapshot({**ITEM, "name": "n-*", "state": "absent", "keep": 1}, tools)) == []
    tools.close()
