# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_listing import UNREAD, files_of
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools


def names(folder: Path, **options: Any) -> list[str]:
    params = {"path": str(folder), "recurse": False, "limit": 100, **options}
    return [str(Path(item["path"]).relative_to(folder)) for item in files_of(params, Tools())]


@pytest.fixture(name="folder")
def folder_fixture(tmp_path: Path) -> Path:
    """Files, folders below, links in and out, a FIFO, and unfinished files of ours."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("")
    folder = tmp_path / "images"
    (folder / "below" / "deep").mkdir(parents=True)
    for name in (
        "b",
        "a",
        ".hidden",
        ".a.imageops-partial",
        ".a.imageops-partial-record-7.json",
        "below/c",
        "below/deep/d",
    ):
        (folder / name).write_text("")
    (folder / "link").symlink_to(outside / "secret")
    (folder / "tree").symlink_to(outside)
    (folder / "below" / "loop").symlink_to(folder)
    return folder


def test_a_folder_stands_for_the_files_in_it(folder: Path) -> None:
    assert names(folder) == [".hidden", "a", "b"]


def test_with_recurse_for_those_below_too(folder: Path) -> None:
    assert names(folder, recurse=True) == [".hidden", "a", "b", "below/c", "below/deep/d"]


def test_a_file_is_itself(folder: Path) -> None:
    params = {"path": str(folder / "a")}
    assert list(files_of(params, Tools())) == [params]


def test_a_folder_may_be_named_by_a_link(folder: Path) -> None:
    (folder.parent / "here").symlink_to(folder)
    assert names(folder.parent / "here") == [".hidden", "a", "b"]


@pytest.mark.parametrize(("limit", "message"), [(2, "holds more than 2 files"), (0, "limit: 0 is no number of files")])
def test_the_limit_is_an_error(folder: Path, limit: int, message: str) -> None:
    with pytest.raises(InvalidOption, match=message):
        names(folder, limit=limit)
    assert len(names(folder, limit=3)) == 3


def test_a_folder_below_that_can_not_be_read_stands_for_its_files(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, deep = os.scandir, str(folder / "below" / "deep")

    def broken(path: str) -> Any:
        if path == deep:
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", broken)
    params = {"path": str(folder), "recurse": True, "limit": 100}
    found = {str(Path(item["path"]).relative_to(folder)): item[UNREAD] for item in files_of(params, Tools())}
    assert found == {".hidden": "", "a": "", "b": "", "below/c": "", "below/deep": "Permission denied"}
    with pytest.raises(PermissionError):
        list(files_of({**params, "path": deep}, Tools()))


def test_a_folder_below_that_is_gone_by_now_holds_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan, deep = os.scandir, folder / "below" / "deep"

    def late(path: str) -> Any:
        if path == str(deep) and deep.exists():
            (deep / "d").unlink()
            deep.rmdir()
        return scan(path)

    monkeypatch.setattr(os, "scandir", late)
    assert names(folder, recurse=True) == [".hidden", "a", "b", "below/c"]
