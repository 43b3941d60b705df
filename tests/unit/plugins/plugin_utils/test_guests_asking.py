# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.plugin_utils import guests_asking
from ansible_collections.imageops.fleet.plugins.plugin_utils.guests_asking import (
    ANSWERS,
    NotAsked,
    Question,
    ask,
    is_asking,
)

# Stands in for `python -m ansible`: tells of its arguments, and does what the pattern says.
PRETENDER = """#!{python}
import json, os, sys, time
pattern = sys.argv[-1]
with open({seen!r}, "w") as stream:
    json.dump({{"argv": sys.argv, "pid": os.getpid()}}, stream)
if pattern == "nobody":
    sys.exit("ERROR: no host\\nmatches.")
with open(os.environ[{answers!r}], "a") as stream:
    stream.write(json.dumps({{"hosts": ["x", "y"]}}) + "\\n")
    stream.write(json.dumps({{"host": "x", "vms": [{{"name": "a"}}]}}) + "\\n")
    stream.write('{{"host": "y", "er')
    stream.flush()
    if pattern == "extra":
        path = [each.partition("@")[2] for each in sys.argv if each.startswith("--extra-vars=@/")][0]
        stream.write('ror": "' + oct(os.stat(path).st_mode) + open(path).read().replace('"', "'") + '"}}\\n')
if pattern == "slow":
    open({seen!r} + ".waits", "w").close()
    time.sleep(600)
"""


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the pretender tells what it was called with."""
    script, found = tmp_path / "pretender", tmp_path / "seen.json"
    script.write_text(PRETENDER.format(python=sys.executable, seen=str(found), answers=ANSWERS))
    script.chmod(stat.S_IRWXU)
    monkeypatch.setattr(guests_asking.sys, "executable", str(script))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(guests_asking.tempfile, "tempdir", None)
    return found


def question(pattern: str, **more: Any) -> Question:
    return Question(pattern, ["/i/hosts.yml", "a,b"], {"uri": "test:///default"}, basedir="/play", **more)


def test_answers(seen: Path, tmp_path: Path) -> None:
    found = ask(question("all", forks=3, timeout=9, options=["--become"]))
    assert found == {"x": {"vms": [{"name": "a"}]}, "y": {"error": "it gave no answer"}}
    given = json.loads(seen.read_text())["argv"]
    assert given[1:4] == ["-m", "ansible", "adhoc"]
    assert given[-2:] == ["--", "all"]
    for argument in (
        "--inventory=/i/hosts.yml",
        "--inventory=a,b",
        "--forks=3",
        "--task-timeout=9",
        "--playbook-dir=/play",
        "--become",
    ):
        assert argument in given
    assert '--args={"uri": "test:///default"}' in given
    assert not list(tmp_path.glob("imageops-guests-*"))


def test_nobody(seen: Path) -> None:
    with pytest.raises(NotAsked, match="ERROR: no host matches"):
        ask(question("nobody"))


def test_extra_variables_are_in_no_argument(seen: Path) -> None:
    found = ask(question("extra", extra_vars=["@plain.yml", {"word": "hidden"}]))
    assert found["y"]["error"] == "0o100600{'word': 'hidden'}"
    given = json.loads(seen.read_text())["argv"]
    assert "--extra-vars=@plain.yml" in given
    assert "hidden" not in " ".join(given)


def test_time_limit(seen: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit has passed when the other process has said what it will."""

    def now() -> float:
        return 1000.0 if Path(f"{seen}.waits").exists() else 0.0

    monkeypatch.setattr(guests_asking, "time", SimpleNamespace(monotonic=now, sleep=lambda seconds: time.sleep(0.02)))
    found = ask(question("slow", timeout=0))
    assert found == {"x": {"vms": [{"name": "a"}]}, "y": {"error": "it gave no answer in time"}}
    with pytest.raises(ProcessLookupError):
        os.kill(json.loads(seen.read_text())["pid"], 0)


@pytest.mark.parametrize(("value", "expected"), [("", False), ("/tmp/answers", True)])
def test_does_not_ask_while_it_is_asked(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv(ANSWERS, value)
    assert is_asking() is expected
