# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import MissingLibrary
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.engine import said_on, start_engine


def test_surroundings() -> None:
    read, write = os.pipe()
    script = f"cat; echo $LC_ALL > /proc/self/fd/{write}; echo words >&2"
    with tempfile.TemporaryFile() as stderr:
        process = start_engine(["sh", "-c", script], stdout=subprocess.DEVNULL, stderr=stderr, pass_fds=(write,))
        os.close(write)
        assert process.wait() == 0
        assert said_on(stderr) == "words\n"
    with os.fdopen(read) as told:
        assert told.read() == "C\n"


def test_of_many_words_the_first_are_kept() -> None:
    with tempfile.TemporaryFile() as stderr:
        stderr.write(b"\xff" + b"x" * (1 << 20))
        assert said_on(stderr) == "\ufffd" + "x" * ((64 << 10) - 1)


def test_a_missing_program() -> None:
    with pytest.raises(MissingLibrary, match="'no-such-engine' is not installed"):
        start_engine(["no-such-engine"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class _Stopped(BaseException):
    """What the handler of a job raises."""


def test_who_is_stopped_while_it_starts_an_engine_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    class Slow(subprocess.Popen[bytes]):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            started.append(self)
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)

    def stop(number: int, frame: Any) -> None:
        raise _Stopped

    monkeypatch.setattr(subprocess, "Popen", Slow)
    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(_Stopped):
            start_engine(["sleep", "60"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert signal.getsignal(signal.SIGTERM) is stop
    finally:
        signal.signal(signal.SIGTERM, before)
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_an_engine_dies_with_who_started_it() -> None:
    program = (
        f"import os, signal, subprocess; from {start_engine.__module__} import start_engine;"
        "engine = start_engine(['sleep', '60'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL);"
        "print(engine.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    said = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=False).stdout
    until = time.monotonic() + 60
    while os.path.exists(f"/proc/{said.strip()}/cmdline") and time.monotonic() < until:
        with open(f"/proc/{said.strip()}/stat", encoding="utf-8") as stream:
            if stream.read().rpartition(") ")[2].startswith("Z"):
                return
        time.sleep(0.02)
    assert not os.path.exists(f"/proc/{said.strip()}")
