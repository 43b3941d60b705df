# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.console import Console, cleaned


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"login: ", "login: "),
        (b"\x1b[2J\x1b[1;32mok\x1b[0m\r\n", "ok\n"),
        (b"\x1b]0;title\x07prompt", "prompt"),
        (b"\x1bc\x1b[?7l\x1b[2Jready", "ready"),
        (b"\x00\x07a\tb", "a\tb"),
        ("größe".encode(), "größe"),
        (b"\xff", "\ufffd"),
    ],
)
def test_cleaned(data: bytes, text: str) -> None:
    assert cleaned(data) == text


def append(path: Path, data: bytes) -> None:
    with path.open("ab") as stream:
        stream.write(data)


def test_text_is_found_across_chunks_and_calls(tmp_path: Path) -> None:
    log = tmp_path / "log"
    console = Console(str(log))
    pattern = re.compile("vm is ready")
    assert console.find(pattern) is None
    append(log, b"x" * ((64 << 10) - 5) + b"vm is")
    assert console.find(pattern) is None
    append(log, b" ready\n")
    assert console.find(pattern)


def test_rotation_is_followed(tmp_path: Path) -> None:
    """virtlogd renames the log to .0 when it is full, and the old .0 to .1."""
    log = tmp_path / "log"
    console = Console(str(log))
    append(log, b"first\n")
    assert console.find(re.compile("nothing")) is None
    append(log, b"at the end of the first file\nsplit in ")
    log.rename(tmp_path / "log.0")
    append(log, b"two files\n")
    (tmp_path / "log.0").rename(tmp_path / "log.1")
    log.rename(tmp_path / "log.0")
    append(log, b"the third\n")
    assert console.find(re.compile("split in two files"))
    assert console.find(re.compile("the third"))
    assert console.tail() == ["first", "at the end of the first file", "split in two files", "the third"]


def test_what_an_earlier_start_said_does_not_count(tmp_path: Path) -> None:
    log, old = tmp_path / "log", tmp_path / "log.0"
    append(old, b"ready\n")
    os.utime(old, (1000, 1000))
    append(log, b"booting\n")
    console = Console(str(log), since=2000)
    assert console.find(re.compile("ready")) is None
    assert console.tail() == ["booting"]


def test_a_cut_log_is_read_from_its_start(tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log, b"a long first boot\n")
    console = Console(str(log))
    assert console.find(re.compile("nothing")) is None
    log.write_bytes(b"ready\n")
    assert console.find(re.compile("^ready$", re.MULTILINE))


def test_memory_is_bounded(tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log, b"line\n" * (1 << 20))
    console = Console(str(log))
    assert console.find(re.compile("nothing")) is None
    assert len(console._window) <= 64 << 10
    assert console.tail(2) == ["line", "line"]


def test_what_was_said_before_the_log_counts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    append(log, b"resumed\n")
    console = Console(str(log), past=b"booted\nready\n")
    assert console.find(re.compile("booted"))
    assert console.find(re.compile("ready\nresumed"))
    assert console.recent() == b"booted\nready\nresumed\n"
