# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.launch import Job
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.running import write_lock
from ansible_collections.imageops.fleet.plugins.module_utils._locks import try_lock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import convert_copy, convert_job
from ansible_collections.imageops.fleet.plugins.module_utils._operations.base_files import Bases
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_now import at_once
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_request import (
    ConvertRequest,
    read_request,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Step
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of

pytestmark = pytest.mark.usefixtures("state_dir")


def _never() -> None:
    raise AssertionError("no job was needed")


def _shares(target: str, source: int) -> bool:
    Path(target).write_bytes(os.pread(source, 1 << 20, 0))
    return True


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "images" / "src"
    path.parent.mkdir()
    path.write_bytes(b"a" * 65536)
    return path


def asked(source: Path, **given: Any) -> tuple[ConvertRequest, Job]:
    request = read_request(params_of(source, source.parent / "dest", **{"format": "raw", **given}), Tools())
    return request, request.job("1")


def test_shared_blocks_need_no_job(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_copy, "shares_blocks", _shares)
    info: dict[str, Any] = {}
    at_once(*asked(source), Step("s", _never), Tools(), info).run()
    assert (info["job"]["launcher"], info["job"]["method"], info["job"]["bytes"]) == ("none", "reflink", 65536)
    assert read_record(str(source.parent / "dest")) is not None
    assert sorted(path.name for path in source.parent.iterdir()) == ["dest", "src"]


def test_where_blocks_can_not_be_shared_it_is_a_job(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_copy, "shares_blocks", lambda target, source: False)
    ran: list[str] = []
    at_once(*asked(source), Step("s", lambda: ran.append("job")), Tools(), {}).run()
    assert ran == ["job"]
    assert [path.name for path in source.parent.iterdir()] == ["src"]


def test_while_a_job_writes_it_is_that_jobs_matter(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_copy, "shares_blocks", _shares)
    request, job = asked(source)
    lock = try_lock(write_lock(request.dest))
    assert lock is not None
    ran: list[str] = []
    at_once(request, job, Step("s", lambda: ran.append("job")), Tools(), {}).run()
    os.close(lock)
    assert ran == ["job"]


def test_while_disks_are_made_from_the_old_one_a_job_waits(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_copy, "shares_blocks", _shares)
    monkeypatch.setattr(convert_job, "convert", lambda *job: pytest.fail("the module would wait for an hour"))
    dest = source.parent / "dest"
    dest.write_bytes(b"old")
    ran: list[str] = []
    bases = Bases(Clock())
    bases.keep(str(dest))
    at_once(*asked(source, force=True), Step("s", lambda: ran.append("job")), Tools(), {}).run()
    bases.close()
    assert ran == ["job"]


@pytest.mark.parametrize("given", [{"verify": "deep"}, {"method": "qemu-img"}, {"format": "qcow2"}])
def test_what_takes_time_is_a_job(source: Path, given: dict[str, Any]) -> None:
    step = Step("s", _never)
    assert at_once(*asked(source, **given), step, Tools(), {}) is step
