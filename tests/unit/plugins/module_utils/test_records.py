# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _records as records
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path

MADE = records.Record("convert", "qcow2", 1 << 20, source={"path": "/s"}, options={"compat": "1.1"}, tool="t 1")


def no_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    for name in ("setxattr", "getxattr", "removexattr"):
        monkeypatch.setattr(os, name, refuse)


@pytest.fixture(params=["attribute", "sidecar"])
def kept(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both ways in which a record is kept."""
    if request.param == "sidecar":
        no_attributes(monkeypatch)
    return str(request.param)


def publish(folder: Path, content: bytes = b"new") -> str:
    path = str(folder / "disk")
    Path(partial_path(path)).write_bytes(content)
    records.publish_with_record(partial_path(path), path, MADE)
    return path


def test_a_record_comes_with_its_file(tmp_path: Path, kept: str) -> None:
    path = publish(tmp_path)
    found = records.read_record(path)
    assert found is not None
    assert (found.operation, found.source, found.options, found.tool) == (
        "convert",
        {"path": "/s"},
        MADE.options,
        "t 1",
    )
    assert found.made["ino"] == os.stat(path).st_ino
    assert records.untouched(path, found)
    assert len(list(tmp_path.iterdir())) == (1 if kept == "attribute" else 2)


def test_new_content_has_a_new_record_and_the_old_sidecar_goes(tmp_path: Path, kept: str) -> None:
    path = publish(tmp_path)
    before = len(list(tmp_path.iterdir()))
    keep = os.open(path, os.O_RDONLY)
    publish(tmp_path, b"newer")
    os.close(keep)
    assert len(list(tmp_path.iterdir())) == before
    assert records.untouched(path, records.read_record(path))


def test_a_write_shows_and_the_origin_stays_known(tmp_path: Path, kept: str) -> None:
    path = publish(tmp_path)
    os.utime(path, ns=(1, 1))
    found = records.read_record(path)
    assert found is not None
    assert not records.untouched(path, found)


def test_a_copy_has_no_record(tmp_path: Path, kept: str) -> None:
    path = publish(tmp_path)
    shutil.copy2(path, tmp_path / "copy")
    for other in tmp_path.glob(".disk*"):
        shutil.copy2(other, tmp_path / other.name.replace(".disk", ".copy"))
    assert records.read_record(str(tmp_path / "copy")) is None


def test_dropping(tmp_path: Path, kept: str) -> None:
    path = publish(tmp_path)
    records.drop_record(path)
    records.drop_record(path)
    assert records.read_record(path) is None
    assert [each.name for each in tmp_path.iterdir()] == ["disk"]


def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str) -> None:
    monkeypatch.setattr(records, "SCHEMA", 2)
    path = publish(tmp_path)
    monkeypatch.setattr(records, "SCHEMA", 1)
    with pytest.raises(Conflict, match="schema 2.*update the collection"):
        records.read_record(path)


def test_a_record_too_large_for_the_file_system_goes_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = publish(tmp_path)

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "setxattr", full)
    records.write_record(path, records.Record("clone", "raw", 1))
    found = records.read_record(path)
    assert found is not None and found.operation == "clone"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b"not json",
        b'{"schema": 1}',
        b'{"schema": 1, "operation": 1, "format": 1, "virtual_size": 1}',
    ],
)
def test_what_is_no_record_is_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x"
    path.touch()
    os.setxattr(path, records.ATTRIBUTE, content)
    assert records.read_record(str(path)) is None


def test_parts_of_a_wrong_kind_are_no_record(tmp_path: Path) -> None:
    path = publish(tmp_path)
    loaded = json.loads(os.getxattr(path, records.ATTRIBUTE))
    os.setxattr(path, records.ATTRIBUTE, json.dumps({**loaded, "options": [1]}).encode())
    assert records.read_record(path) is None


def test_nothing_there(tmp_path: Path) -> None:
    assert records.read_record(str(tmp_path / "none")) is None
    assert not records.untouched(str(tmp_path / "none"), MADE)


@pytest.mark.parametrize(
    "text",
    ["[" * 1000, "null", "5", "{", '"x"', "9" * 3000],
)
def test_an_attribute_that_is_no_record_is_none(tmp_path: Path, text: str) -> None:
    path = publish(tmp_path)
    os.setxattr(path, records.ATTRIBUTE, text.encode())
    assert records.read_record(path) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"operation": 5}, {"format": None}, {"virtual_size": "1"}, {"virtual_size": True}, {"digest": {}}, {"tool": [1]},
        {"options": "x"}, {"options": {"backing": 5}}, {"options": {"backing": "a\0"}}, {"source": [1]},
        {"source": {"path": None}}, {"made": "x"}, {"schema": "1"},
    ],
)  # fmt: skip
def test_a_record_with_wrong_types_is_none(tmp_path: Path, wrong: dict[str, Any]) -> None:
    path = publish(tmp_path)
    os.setxattr(path, records.ATTRIBUTE, json.dumps({**kept_record(path), **wrong}).encode())
    assert records.read_record(path) is None


def kept_record(path: str) -> dict[str, Any]:
    return dict(json.loads(os.getxattr(path, records.ATTRIBUTE)))


def test_a_sidecar_that_is_no_file_of_ours_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    no_attributes(monkeypatch)
    path = publish(tmp_path)
    assert records.read_record(path) is not None
    with monkeypatch.context() as others:
        others.setattr(os, "fstat", lambda handle: os.stat_result((0o100644, 1, 1, 1, 4711, 0, 0, 0, 0, 0)))
        assert records.read_record(path) is None
    sidecar = next(tmp_path.glob(".*.json"))
    sidecar.unlink()
    os.mkfifo(sidecar)
    assert records.read_record(path) is None
