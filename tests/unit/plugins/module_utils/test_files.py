# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import re
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _files as files
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    InvalidOption,
    NoSpace,
    NotFound,
    system_error,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def mode_of(path: str | Path) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def test_state_folders_are_private(state_dir: Path) -> None:
    path = files.state_dir("jobs", "one")
    assert path == str(state_dir / "jobs" / "one")
    assert mode_of(path) == 0o700
    assert files.state_dir("jobs", "one") == path


def test_who_can_have_no_state_is_told_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, **_given: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/nonexistent")

    monkeypatch.setenv("IMAGEOPS_STATE_DIR", "/nonexistent/state")
    monkeypatch.setattr(os, "makedirs", refuse)
    with pytest.raises(PermissionError) as caught:
        files.state_dir("jobs")
    said = "/nonexistent/state: Permission denied; let the task run with 'become: true', or name another state directory in"
    assert str(system_error(caught.value)).startswith(f"{said} IMAGEOPS_STATE_DIR")


def test_where_the_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMAGEOPS_STATE_DIR", raising=False)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert files.state_top() == "/var/lib/imageops"
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_STATE_HOME", "/home/u/state")
    assert files.state_top() == "/home/u/state/imageops"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/u")
    assert files.state_top() == "/home/u/.local/state/imageops"


def test_a_fingerprint_moves_with_writes_and_not_with_owners(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert files.fingerprint(str(path)) is None
    path.write_bytes(b"a")
    first = files.fingerprint(str(path))
    os.chmod(path, 0o600)
    assert files.fingerprint(str(path)) == first
    os.utime(path, ns=(0, 5))
    assert files.fingerprint(str(path)) != first


def test_writing_leaves_only_the_finished_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old and longer")
    files.write_bytes(str(path), b"new", mode=0o640)
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o640
    assert names(tmp_path) == ["x"]


def test_threads_that_write_one_name_do_not_mix(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    start = threading.Barrier(4)

    def write(letter: bytes) -> None:
        start.wait()
        for _turn in range(50):
            files.write_bytes(path, letter * 50000, durable=False)
            data = Path(path).read_bytes()
            assert data in {other * 50000 for other in (b"a", b"b", b"c", b"d")}

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, (b"a", b"b", b"c", b"d")))
    assert names(tmp_path) == ["x"]


def test_a_planted_link_is_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "x"
    victim.write_bytes(b"precious")
    partial = files.partial_path(str(path), suffix=f"-{threading.get_native_id()}")
    os.symlink(victim, partial)
    files.write_bytes(str(path), b"new")
    assert victim.read_bytes() == b"precious"


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    with pytest.raises(OSError, match="directory"):
        files.write_bytes(str(tmp_path / "x"), b"new")
    assert names(tmp_path) == ["x"]


def test_who_writes_alone_replaces_what_a_killed_one_left(tmp_path: Path) -> None:
    path = str(tmp_path / "x")
    Path(files.partial_path(path)).write_bytes(b"half")
    files.write_bytes(path, b"new", alone=True)
    assert names(tmp_path) == ["x"]
    assert Path(path).read_bytes() == b"new"


def test_what_could_not_be_flushed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    path = tmp_path / "x"
    path.touch()
    monkeypatch.setattr(os, "fsync", broken)
    for flush in (files.sync_file, files.sync_folder):
        with pytest.raises(OSError, match=re.escape(f"Input/output error: '{path}'")):
            flush(str(path))
    with pytest.raises(OSError, match=r"Input/output error: '.*x.*'"):
        files.write_bytes(str(path), b"new")
    assert names(tmp_path) == ["x"]


def test_publishing_replaces_in_one_step(tmp_path: Path) -> None:
    path = str(tmp_path / "disk.qcow2")
    partial = files.partial_path(path)
    assert partial == str(tmp_path / ".disk.qcow2.imageops-partial")
    Path(partial).write_bytes(b"new")
    inode = os.stat(partial).st_ino
    files.publish(partial, path)
    assert os.stat(path).st_ino == inode
    assert names(tmp_path) == ["disk.qcow2"]
    files.remove(path)
    files.remove(path)
    assert names(tmp_path) == []


def test_requirements_name_their_option(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"^dest: the folder .*/none does not exist"):
        files.require_folder(str(tmp_path / "none" / "x"), option="dest")
    with pytest.raises(NotFound, match=r"^src: .*/x does not exist"):
        files.require_regular(str(tmp_path / "x"), option="src")
    with pytest.raises(Conflict, match=r"^src: .* is neither a regular file nor a block device"):
        files.require_regular(str(tmp_path), option="src")
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(InvalidOption, match=r"^dest: .*/file is a file, so nothing can be made in it"):
        files.require_folder(str(tmp_path / "file" / "x"), option="dest")
    with pytest.raises(Conflict, match=r"^src: .*/loop: Too many levels of symbolic links; its links lead in a circle"):
        files.require_regular(str(tmp_path / "loop"), option="src")
    assert files.fingerprint(str(tmp_path / "file" / "x")) is None
    with pytest.raises(NoSpace, match=r"^size needs about 1024 PiB"):
        files.require_space(str(tmp_path / "x"), 1 << 60, what="size")
    files.require_space(str(tmp_path / "x"), 1, what="size")


def test_links_are_resolved_to_one_name(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    (tmp_path / "link").symlink_to("x")
    assert files.real_path(str(tmp_path / "link")) == os.path.realpath(tmp_path / "x")
    assert files.same_path(str(tmp_path / "link"), str(tmp_path / "x"))
    assert files.same_path("/no/such/file", "/no/such/file") and not files.same_path("/no/such/file", "/no/other")


def test_a_folder_that_nothing_can_be_written_in() -> None:
    files.require_writable_folder("/tmp/x", option="path")
    with pytest.raises(Conflict, match="^path: nothing can be written in /proc/self"):
        files.require_writable_folder("/proc/self/nothing/x", option="path")


def test_a_path_with_nul_is_no_path() -> None:
    with pytest.raises(InvalidOption, match="NUL"):
        files.real_path("/a\0b")


def test_a_name_leaves_room_for_the_hidden_one(tmp_path: Path) -> None:
    longest = str(tmp_path / ("n" * 237))
    files.require_folder(longest, option="path")
    Path(files.partial_path(longest)).touch()
    with pytest.raises(InvalidOption, match="^path: .* is longer than 237 bytes"):
        files.require_folder(longest + "n", option="path")


@pytest.mark.parametrize(
    ("text", "mode"),
    [("0640", 0o640), ("640", 0o640), ("2755", 0o2755), ("0999", None), ("u=rw", None), ("", None), ("0640\n", None)],
)
def test_modes(text: str, mode: int | None) -> None:
    assert files.parse_mode(text) == mode


def test_halves_of_dead_writers_go_from_a_jobs_folder(tmp_path: Path) -> None:
    living, dead = f".state.json.imageops-partial-{os.getpid()}", ".state.json.imageops-partial-99999999"
    for name in (living, dead, "state.json"):
        (tmp_path / name).touch()
    files.remove_halves(str(tmp_path))
    assert sorted(os.listdir(tmp_path)) == [living, "state.json"]
