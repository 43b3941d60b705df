# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.leaves import is_ours, remove_leaves, require_ours
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState, read_state
from ansible_collections.imageops.fleet.plugins.module_utils._locks import try_lock
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/srv/.disk.qcow2.imageops-partial", True),
        ("/srv/.disk.qcow2.imageops-partial-s001", True),
        ("/srv/disk.qcow2", False),
        ("/srv/disk.imageops-partial", False),
        ("/srv/../etc/.x.imageops-partial", False),
        (".x.imageops-partial", False),
        ("STATE/run/x", True),
        ("STATE/run", False),
        ("STATE", False),
        ("STATE-other/run/x", False),
        ("STATE/run/../../x", False),
    ],
)
def test_only_what_can_be_nobody_elses_is_ours(path: str, ours: bool, state_dir: Path) -> None:
    assert is_ours(path.replace("STATE", str(state_dir))) is ours


def test_a_folder_that_another_job_uses_stays(state_dir: Path) -> None:
    folder = state_dir / "run" / "pull-1"
    folder.mkdir(parents=True)
    lock = try_lock(str(folder))
    assert lock is not None
    assert remove_leaves([str(folder)]) == [] and folder.is_dir()
    os.close(lock)
    assert remove_leaves([str(folder)]) == [str(folder)] and not folder.exists()


def test_leaves_are_removed_and_others_kept(tmp_path: Path, state_dir: Path) -> None:
    partial = Path(partial_path(str(tmp_path / "disk")))
    folder = Path(partial_path(str(tmp_path / "folder")))
    link = Path(partial_path(str(tmp_path / "link")))
    kept = tmp_path / "disk"
    kept.write_text("precious")
    partial.touch()
    folder.mkdir()
    (folder / "inside").touch()
    link.symlink_to(kept)
    assert remove_leaves([str(path) for path in (partial, folder, link, kept, tmp_path / "none")]) == [
        str(partial),
        str(folder),
        str(link),
    ]
    assert [path.name for path in tmp_path.iterdir() if path != state_dir] == ["disk"]
    assert kept.read_text() == "precious"


def test_a_job_names_only_what_is_ours(state_dir: Path) -> None:
    with pytest.raises(ValueError, match="neither a partial name"):
        require_ours("/etc/passwd")
    progress = Progress(JobState("x", "k", "r"), FakeClock())
    with pytest.raises(ValueError, match="neither a partial name"):
        progress.leaves("/etc/passwd")
    progress.leaves("/srv/.a.imageops-partial", "/srv/.b.imageops-partial")
    progress.leaves("/srv/.b.imageops-partial")
    found = read_state("x")
    assert found is not None and found.leaves == ["/srv/.b.imageops-partial"]
    assert os.path.exists(state_dir / "jobs/x/state.json")
