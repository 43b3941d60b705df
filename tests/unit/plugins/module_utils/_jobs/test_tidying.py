# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import tidying
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState, write_state
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.turns import in_turn

WEEK = 8 * 86400.0


@pytest.fixture
def helpers(state_dir: Path) -> Path:
    folder = state_dir / "helper"
    folder.mkdir(parents=True)
    for name in ("old.pyz", "new.pyz"):
        (folder / name).touch()
    age(folder / "old.pyz")
    return folder


def age(path: Path) -> None:
    moment = Clock().time() - WEEK
    os.utime(path, (moment, moment))


def job(state_dir: Path, name: str, *, old: bool, **fields: object) -> None:
    moment = Clock().time() - (WEEK if old else 0)
    write_state(JobState(name, "k", "r", updated=moment, **fields))  # type: ignore[arg-type]
    if old:
        age(state_dir / "jobs" / name)


def test_what_ended_long_ago_goes(state_dir: Path, helpers: Path) -> None:
    job(state_dir, "old", old=True, status="done")
    job(state_dir, "old-leaves", old=True, status="failed", leaves=["/srv/.x.imageops-partial"])
    job(state_dir, "new", old=False, status="done")
    tidying.tidy_jobs(Clock())
    assert sorted(os.listdir(state_dir / "jobs")) == ["new", "old-leaves"]
    assert os.listdir(helpers) == ["new.pyz"]


def test_one_that_is_being_started_stays(state_dir: Path) -> None:
    job(state_dir, "old", old=True, status="done")
    with in_turn("old", Clock()):
        tidying.tidy_jobs(Clock())
        assert os.listdir(state_dir / "jobs") == ["old"]
    tidying.tidy_jobs(Clock())
    assert os.listdir(state_dir / "jobs") == []


def test_while_a_job_works_its_helper_stays(state_dir: Path, helpers: Path) -> None:
    job(state_dir, "old", old=True, status="running")
    tidying.tidy_jobs(Clock())
    assert sorted(os.listdir(helpers)) == ["new.pyz", "old.pyz"]
    assert os.listdir(state_dir / "jobs") == ["old"]


def test_halves_of_killed_writes_go_and_locks_stay(state_dir: Path) -> None:
    locks = state_dir / "locks"
    locks.mkdir(parents=True)
    for name in ("0a1b", ".0a1b.imageops-partial-7"):
        (locks / name).touch()
        age(locks / name)
    tidying.tidy_jobs(Clock())
    assert os.listdir(locks) == ["0a1b"]


def test_a_host_without_jobs(state_dir: Path) -> None:
    tidying.tidy_jobs(Clock())
    assert not state_dir.exists()
