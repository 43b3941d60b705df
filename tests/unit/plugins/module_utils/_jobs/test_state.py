# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import state as states


def test_a_state_is_read_as_it_was_written(state_dir: Path) -> None:
    state = states.JobState("convert-1", "convert", "abc", phase="verify", percent=12.5, result={"a": 1})
    states.write_state(state)
    assert states.read_state("convert-1") == state
    path = state_dir / "jobs" / "convert-1" / "state.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["state.json"]


@pytest.mark.parametrize("content", ["", "[]", "{", "{}", '{"id": "x", "kind": "k", "request": "r", "later": 1}'])
def test_what_this_version_does_not_know_is_no_state(state_dir: Path, content: str) -> None:
    (Path(states.job_dir("x")) / "state.json").write_text(content)
    assert states.read_state("x") is None


def test_no_job(state_dir: Path) -> None:
    assert states.read_state("x") is None
    assert states.log_tail("x") == ""


@pytest.mark.parametrize(
    ("status", "ended"),
    [("starting", False), ("running", False), ("done", True), ("failed", True), ("cancelled", True)],
)
def test_ended(status: str, ended: bool) -> None:
    assert states.JobState("x", "k", "r", status=status).ended is ended


def test_ids_and_digests() -> None:
    assert states.job_id("convert", "/a") == states.job_id("convert", "/a") != states.job_id("convert", "/b")
    assert states.job_id("convert", "/a").startswith("convert-")
    assert states.digest({"a": 1, "b": 2}) == states.digest({"b": 2, "a": 1}) != states.digest({"a": 2, "b": 1})


def test_requests(state_dir: Path) -> None:
    states.write_request("x", {"kind": "convert", "path": Path("/a")})
    assert states.read_request(states.job_dir("x")) == {"kind": "convert", "path": "/a"}
    with pytest.raises(ValueError, match="no request"):
        states.read_request(states.job_dir("y"))


def test_the_end_of_a_log(state_dir: Path) -> None:
    (Path(states.job_dir("x")) / "log").write_bytes(b"one\ntwo\nthr\xff\n")
    assert states.log_tail("x", lines=2) == "two\nthr\ufffd"


def test_a_state_file_is_plain_json(state_dir: Path) -> None:
    states.write_state(states.JobState("x", "k", "r"))
    loaded = json.loads((state_dir / "jobs" / "x" / "state.json").read_text())
    assert loaded["status"] == "starting"
