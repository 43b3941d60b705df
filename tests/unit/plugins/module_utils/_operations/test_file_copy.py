# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict
from ansible_collections.imageops.fleet.plugins.module_utils._operations import file_copy

MIB = 1 << 20


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two pieces of data, with holes before, between and behind them."""
    path = tmp_path / "source"
    with path.open("wb") as stream:
        for place in (MIB, 5 * MIB):
            stream.seek(place)
            stream.write(os.urandom(100_000))
        stream.truncate(8 * MIB)
    return path


@contextmanager
def both(source: Path) -> Iterator[tuple[int, int, Path]]:
    target = source.with_name("target")
    with source.open("rb") as old, target.open("w+b") as new:
        yield old.fileno(), new.fileno(), target


@pytest.mark.parametrize("kernel_copies", [True, False])
def test_a_copy_keeps_bytes_and_holes(source: Path, kernel_copies: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> int:
        raise OSError(errno.EXDEV, "no")

    if not kernel_copies:
        monkeypatch.setattr(file_copy.os, "copy_file_range", refuse)
    places: list[int] = []
    with both(source) as (old, new, target):
        file_copy.copy_data(old, new, places.append)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks <= source.stat().st_blocks + 16
    assert places == sorted(places) and 5 * MIB + 100_000 <= places[-1] <= 8 * MIB


def test_a_bandwidth_is_kept(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(file_copy.time, "sleep", slept.append)
    with both(source) as (old, new, _target):
        file_copy.copy_data(old, new, lambda place: None, bandwidth=100_000)
    assert max(slept) > 1


def test_a_file_that_shrinks_meanwhile(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_copy.os, "copy_file_range", lambda *args: 0)
    with both(source) as (old, new, _target), pytest.raises(Conflict, match="became shorter"):
        file_copy.copy_data(old, new, lambda place: None)


@pytest.mark.parametrize("code", [errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.EPERM])
def test_no_clone_where_blocks_can_not_be_shared(source: Path, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise OSError(code, "no")

    monkeypatch.setattr(file_copy.fcntl, "ioctl", refuse)
    with both(source) as (old, new, _target):
        assert not file_copy.clone(old, new)


def test_other_errors_of_a_clone_are_errors(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.EIO, "I/O error")

    monkeypatch.setattr(file_copy.fcntl, "ioctl", fail)
    with both(source) as (old, new, _target), pytest.raises(OSError, match="I/O error"):
        file_copy.clone(old, new)


def test_attributes_go_with_the_copy_but_what_is_the_other_files_own(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.chmod(0o640)
    there = {
        "user.note": b"1",
        "system.posix_acl_access": b"2",
        file_copy.ATTRIBUTE: b"3",
        "trusted.libvirt.security.dac": b"+0:+0",
        "trusted.libvirt.security.ref_dac": b"1",
    }
    given: dict[str, bytes] = {}
    monkeypatch.setattr(file_copy.os, "listxattr", lambda handle: list(there))
    monkeypatch.setattr(file_copy.os, "getxattr", lambda handle, name: there[name])
    monkeypatch.setattr(file_copy.os, "setxattr", lambda handle, name, value: given.update({name: value}))
    with both(source) as (old, new, target):
        file_copy.copy_attributes(old, new)
    assert given == {"user.note": b"1", "system.posix_acl_access": b"2"}
    assert target.stat().st_mode & 0o7777 == 0o640


def test_a_file_system_without_attributes(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(handle: int) -> list[str]:
        raise OSError(errno.ENOTSUP, "no")

    monkeypatch.setattr(file_copy.os, "listxattr", refuse)
    with both(source) as (old, new, _target):
        file_copy.copy_attributes(old, new)
