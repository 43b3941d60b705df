# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.handover import handed_over, masked, take_over
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.launch import Job
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import digest, job_dir

pytestmark = pytest.mark.usefixtures("state_dir")


def test_secrets_go_through_a_pipe() -> None:
    folder = Path(job_dir("x"))
    with handed_over("x", {"passphrase": "geheim\u00e4"}):
        status = (folder / "secrets").stat()
        assert stat.S_ISFIFO(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o600
        assert take_over(str(folder)) == {"passphrase": "geheim\u00e4"}
        assert list(folder.iterdir()) == []
    assert list(folder.iterdir()) == []


def test_none_make_nothing() -> None:
    with handed_over("x", {}):
        assert os.listdir(job_dir("x")) == []


def test_those_of_a_task_that_died_are_gone() -> None:
    folder = job_dir("x")
    os.mkfifo(os.path.join(folder, "secrets"), 0o600)
    with pytest.raises(EngineError, match="ended before it had handed its secrets over"):
        take_over(folder)
    with handed_over("x", {"a": "b"}):
        assert take_over(folder) == {"a": "b"}


def test_too_large() -> None:
    with pytest.raises(InvalidOption, match="larger than 65536 bytes"), handed_over("x", {"a": "b" * 70000}):
        pass


def test_no_text_shows_them() -> None:
    assert masked({"a": ["no", "it is geheim.", 1], "b": None}, {"p": "geheim", "q": ""}) == {
        "a": ["no", "it is ********.", 1],
        "b": None,
    }


def test_a_job_is_the_same_whatever_its_secrets() -> None:
    one, other = (Job("k", "/t", {"a": 1}, lambda: "e", {"p": secret}) for secret in ("one", "two"))
    assert (one.id, digest(one.params)) == (other.id, digest(other.params))
    assert "one" not in repr(one)
