# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

from ansible_collections.imageops.fleet.plugins.plugin_utils._runs import Runs


def run(*items: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"changed": any(item["changed"] for item in items), "disks": list(items), **more}


def test_what_a_run_finished_stays_and_what_went_on_is_completed() -> None:
    runs = Runs()
    runs.add(
        run(
            {"dest": "a", "changed": True, "job": {"id": "j"}, "steps": ["convert"]},
            {"dest": "b", "changed": False, "pending": True, "steps": ["convert"]},
            {"dest": "c", "changed": False, "pending": True},
            diff=[{"after": "a"}, {"after": "b"}, None],
            warnings=["w1"],
        ),
        key="disks",
    )
    last = runs.add(
        run(
            {"dest": "a", "changed": False, "steps": []},
            {"dest": "b", "changed": True, "job": {"id": "k"}, "steps": []},
            {"dest": "c", "changed": True, "steps": ["chown"]},
            diff=[None, None, {"after": "c"}],
            warnings=["w1", "w2"],
        ),
        key="disks",
    )
    assert last == {
        "changed": True,
        "disks": [
            {"dest": "a", "changed": True, "job": {"id": "j"}, "steps": ["convert"]},
            {"dest": "b", "changed": True, "job": {"id": "k"}, "steps": ["convert"]},
            {"dest": "c", "changed": True, "steps": ["chown"]},
        ],
        "diff": [{"after": "a"}, {"after": "b"}, {"after": "c"}],
        "warnings": ["w1", "w2"],
    }


def test_a_failure_of_the_last_run_is_told_with_what_was_to_be_done() -> None:
    runs = Runs()
    runs.add(run({"dest": "a", "changed": False, "pending": True, "steps": ["convert"]}), key="disks")
    last = runs.add(
        run({"dest": "a", "changed": False, "failed": True, "msg": "no"}, msg="no", failed=True), key="disks"
    )
    assert last["failed"] and not last["changed"]
    assert last["disks"] == [{"dest": "a", "changed": False, "failed": True, "msg": "no", "steps": ["convert"]}]


def test_a_run_that_came_to_nothing_keeps_what_is_known() -> None:
    runs = Runs()
    runs.add(run({"dest": "a", "changed": True}), key="disks")
    assert runs.add({"failed": True, "msg": "crashed"}, key="disks")["disks"] == [{"dest": "a", "changed": True}]
