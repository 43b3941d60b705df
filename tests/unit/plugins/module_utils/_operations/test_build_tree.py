# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who can reach a tree of files, and what may be left in it; that a disk of it boots is shown by the target image_build."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._operations import build_mounted, build_tree
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_chroot import NAMESPACES
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_kinds import tree_mark
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_session import Work
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.bounded import Said

MMDEBSTRAP = {"suite": "bookworm", "variant": "apt", "include": [], "components": [], "mirrors": []}


class Quiet:
    def phase(self, name: str, **told: Any) -> None: ...


@pytest.fixture
def progress() -> Any:
    return Quiet()


def test_only_root_reaches_the_programs_of_a_tree(
    tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tmp_path / "base"
    (base / "etc").mkdir(parents=True)
    base.chmod(0o700)
    seen = []

    def look(tree: str) -> str:
        above = os.stat(os.path.dirname(tree)).st_mode
        seen.append((oct(above & 0o777), oct(os.stat(tree).st_mode & 0o777), os.listdir(tree)))
        return ""

    monkeypatch.setattr(build_tree, "work_in", lambda tree, work, **told: look(tree))
    monkeypatch.setattr(build_tree, "write_disk", lambda path, tree, **told: look(tree))
    told = {"kind": "directory", "path": str(base), "mark": tree_mark(str(base))}
    params = {"path": str(tmp_path / "golden"), "base": told, "recipe": "x", "guest_timeout": 1, "size": None}
    with (tmp_path / "lock").open("w") as lock:
        build_tree.build_from_tree(params, str(tmp_path / "work"), [], progress, lock.fileno())
    assert seen == [("0o700", "0o755", ["etc"])] * 2
    assert sorted(os.listdir(tmp_path)) == ["base", "lock"]


def test_what_is_mounted_in_a_folder_is_no_part_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base, other = tmp_path / "base", tmp_path / "base/proc"
    other.mkdir(parents=True)
    started: list[Sequence[str]] = []

    def run(argv: Sequence[str], **told: Any) -> Said:
        started.append(argv)
        return Said(tuple(argv), 0, "", "")

    def lstat(path: str, real: Callable[[str], os.stat_result] = os.lstat) -> Any:
        """As if another file system were mounted there."""
        found = real(path)
        return os.stat_result((*found[:2], found.st_dev + 1, *found[3:])) if path == str(other) else found

    monkeypatch.setattr(os, "lstat", lstat)
    monkeypatch.setattr(build_tree, "run_bounded", run)
    mark = tree_mark(str(base))
    (other / "uptime").write_text("1")
    assert tree_mark(str(base)) == mark
    build_tree._bring({"kind": "directory", "path": str(base), "mark": mark}, str(tmp_path / "tree"), 0)
    assert "--one-file-system" in started[0]
    (base / "etc").mkdir()
    assert tree_mark(str(base)) != mark


def test_what_mmdebstrap_mounts_is_never_seen_by_who_removes_the_tree(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Sequence[str]] = []

    def run(argv: Sequence[str], **told: Any) -> Said:
        started.append(argv)
        return Said(tuple(argv), 0, "", "")

    monkeypatch.setattr(build_tree, "run_bounded", run)
    monkeypatch.setattr(build_tree.shutil, "which", lambda name: name)
    (tmp_path / "tree").mkdir()
    build_tree._bring({"kind": "mmdebstrap", "mmdebstrap": MMDEBSTRAP}, str(tmp_path / "tree"), 0)
    (argv,) = started
    assert tuple(argv[: len(NAMESPACES)]) == NAMESPACES and argv[len(NAMESPACES)] == "mmdebstrap"
    assert {"--mount", "--pid", "--kill-child"} < set(NAMESPACES)


def test_who_runs_in_a_tree_holds_the_images_lock(progress: Progress, monkeypatch: pytest.MonkeyPatch) -> None:
    class Session:
        def __init__(self, root: str, *, carried: Sequence[int], **told: Any) -> None:
            assert list(carried)[-1] == 7

        def __getattr__(self, name: str) -> Any:
            return lambda *told: None

    monkeypatch.setattr(build_mounted, "ChrootSession", Session)
    monkeypatch.setattr(Work, "do", lambda *told: "packages")
    assert build_mounted.work_in("/tree", Work([]), seconds=1.0, progress=progress, lock=7) == "packages"
