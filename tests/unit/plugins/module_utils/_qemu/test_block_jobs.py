# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, NoSpace
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import bitmaps, block_jobs


class FakeDaemon:
    """Answers with the states of one job, one after the other, and keeps what it was asked."""

    def __init__(self, *states: dict[str, Any], nodes: tuple[dict[str, Any], ...] = ()) -> None:
        self.states = list(states)
        self.nodes = list(nodes)
        self.said: list[tuple[str, dict[str, Any]]] = []

    def execute(self, command: str, arguments: dict[str, Any] | None = None) -> Any:
        if command == "query-jobs":
            return [self.states.pop(0)] if self.states else []
        if command == "query-named-block-nodes":
            return self.nodes
        self.said.append((command, dict(arguments or {})))
        return {}

    def sleep(self, seconds: float) -> None:
        assert seconds > 0


def state(status: str, done: int = 0, **more: Any) -> dict[str, Any]:
    return {"id": "work", "type": "stream", "status": status, "current-progress": done, "total-progress": 8, **more}


def test_copying_up_leaves_the_header_alone() -> None:
    told: list[tuple[int, int]] = []
    daemon = FakeDaemon(
        state("running", 2),
        state("pending", 8),
        state("aborting", 8),
        state("concluded", 8, error="Operation canceled"),
    )
    block_jobs.copy_up(daemon, base=2, speed=100, report=lambda *now: told.append(now))  # type: ignore[arg-type]
    assert daemon.said == [
        (
            "block-stream",
            {
                "job-id": "work",
                "auto-dismiss": False,
                "auto-finalize": False,
                "speed": 100,
                "device": "layer0",
                "base-node": "layer2",
                "on-error": "report",
            },
        ),
        ("job-cancel", {"id": "work"}),
        ("job-dismiss", {"id": "work"}),
    ]
    assert told == [(2, 8), (8, 8)]


def test_a_flatten_has_no_base() -> None:
    daemon = FakeDaemon(state("pending"), state("concluded"))
    block_jobs.copy_up(daemon, base=None, speed=None, report=lambda *now: None)  # type: ignore[arg-type]
    assert not {"base-node", "speed"} & set(daemon.said[0][1])


def test_a_commit_is_completed() -> None:
    daemon = FakeDaemon(state("running"), state("ready", 8), state("concluded", 8))
    block_jobs.commit_down(daemon, base=1, speed=None, report=lambda *now: None)  # type: ignore[arg-type]
    assert [command for command, _arguments in daemon.said] == ["block-commit", "job-complete", "job-dismiss"]
    assert daemon.said[0][1]["base-node"] == "layer1"


@pytest.mark.parametrize(
    ("error", "kind"), [("No space left on device", NoSpace), ("Input/output error", EngineError), (None, EngineError)]
)
def test_what_a_job_fails_with_is_told(error: str | None, kind: type[Exception]) -> None:
    daemon = FakeDaemon(state("running"), state("concluded", error=error))
    with pytest.raises(kind, match=error or "before it was done"):
        block_jobs.commit_down(daemon, base=1, speed=None, report=lambda *now: None)  # type: ignore[arg-type]


def test_a_job_may_fail_after_it_was_ready() -> None:
    daemon = FakeDaemon(state("ready"), state("concluded", error="Input/output error"))
    with pytest.raises(EngineError, match="Input/output error"):
        block_jobs.mirror(daemon, target="new", sync="full", speed=None, report=lambda *now: None)  # type: ignore[arg-type]


def test_a_lost_job_is_told() -> None:
    with pytest.raises(EngineError, match="lost its block job"):
        block_jobs.commit_down(FakeDaemon(), base=1, speed=None, report=lambda *now: None)  # type: ignore[arg-type]


def test_a_backup_by_bitmap() -> None:
    daemon = FakeDaemon(state("concluded", 8), state("concluded", 8))
    block_jobs.backup(
        daemon,  # type: ignore[arg-type]
        target="new",
        sync="bitmap",
        speed=None,
        report=lambda *now: None,
        bitmap="b0",
    )
    assert daemon.said[0][0] == "blockdev-backup"
    assert daemon.said[0][1]["bitmap"] == "b0" and daemon.said[0][1]["bitmap-mode"] == "never"


def test_bitmaps() -> None:
    found = {"name": "b0", "granularity": 65536, "count": 131072, "recording": True, "busy": False}
    broken = {**found, "name": "b1", "recording": False, "inconsistent": True}
    daemon = FakeDaemon(nodes=({"node-name": "file0"}, {"node-name": "layer0", "dirty-bitmaps": [found, broken]}))
    listed = bitmaps.list_bitmaps(daemon)  # type: ignore[arg-type]
    assert [(one.name, one.dirty_bytes, one.inconsistent) for one in listed] == [
        ("b0", 131072, False),
        ("b1", 131072, True),
    ]
    bitmaps.add_bitmap(daemon, "new", granularity=4096)  # type: ignore[arg-type]
    bitmaps.clear_bitmap(daemon, "b0")  # type: ignore[arg-type]
    bitmaps.remove_bitmap(daemon, "b1")  # type: ignore[arg-type]
    bitmaps.merge_bitmaps(daemon, "new", ["b0"])  # type: ignore[arg-type]
    assert daemon.said == [
        ("block-dirty-bitmap-add", {"node": "layer0", "name": "new", "persistent": True, "granularity": 4096}),
        ("block-dirty-bitmap-clear", {"node": "layer0", "name": "b0"}),
        ("block-dirty-bitmap-remove", {"node": "layer0", "name": "b1"}),
        ("block-dirty-bitmap-merge", {"node": "layer0", "target": "new", "bitmaps": ["b0"]}),
    ]
