# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot_journal import (
    Journal,
    forget_journal,
    journal_path,
    read_journal,
    snapshot_files,
)

DOMAIN: Any = SimpleNamespace(name="web", uuid="u-1")


def test_what_is_noted_is_read_again(state_dir: Path) -> None:
    assert read_journal(DOMAIN) == Journal("u-1")
    journal = read_journal(DOMAIN)
    journal.note(
        own={"/a"}, managed={"/r"}, formats={"/r": "raw"}, beside={"s": {"memory": "/m"}}, taking={"name": "s"}
    )
    assert read_journal(DOMAIN) == journal
    assert os.stat(journal_path("u-1")).st_mode & 0o777 == 0o600
    assert journal.open == ["finish or undo the interrupted taking of the snapshot s"]


def test_a_journal_that_says_nothing_goes(state_dir: Path) -> None:
    journal = Journal("u-1", own={"/a"})
    journal.save()
    assert os.path.exists(journal_path("u-1"))
    journal.note(own=set())
    assert not os.path.exists(journal_path("u-1"))
    forget_journal(DOMAIN)


def test_open_marks_tell_what_is_left() -> None:
    journal = Journal(
        "u",
        reverting={"name": "a"},
        merging={"top": "/t", "base": "/b"},
        forgetting={"names": ["b", "c"]},
    )
    assert journal.open == [
        "finish or undo the interrupted revert to the snapshot a",
        "finish deleting b, c",
        "finish merging /t into /b",
    ]


@pytest.mark.parametrize("text", ["", "nonsense", json.dumps({"schema": 2, "uuid": "u-1"})])
def test_what_can_not_be_read_is_not_guessed_at(state_dir: Path, text: str) -> None:
    Path(journal_path("u-1")).write_text(text)
    with pytest.raises(Conflict, match="damaged or of a newer version"):
        read_journal(DOMAIN)


def test_files_of_a_vm(state_dir: Path, tmp_path: Path) -> None:
    there, gone = tmp_path / "there", tmp_path / "gone"
    there.touch()
    Journal("u-1", own={str(there), str(gone)}, beside={"s": {"nvram": str(there)}}).save()
    assert snapshot_files(DOMAIN) == [str(there), str(there)]
