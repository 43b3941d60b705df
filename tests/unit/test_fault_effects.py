# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The effects of libvirtd that tests/faults strikes at: counted, told, and the last one kills. A Python takes libvirtd's part here."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

FAULTS = Path(__file__).resolve().parents[1] / "faults"
# At the end: their files have common names.
sys.path += [str(FAULTS), str(FAULTS / "on_host")]

import host
import vm_effects
from effects import ALL, Effects, chosen, named

needs_compiler = pytest.mark.skipif(not (shutil.which("gcc") or shutil.which("cc")), reason="there is no C compiler")

# One effect after another, as libvirtd has them, and others that are none; what was done is printed.
ACT = """
import os, socket, subprocess, sys
top = sys.argv[1]

def peer(name):
    path = f"{top}/{name}"
    server, client = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX)
    server.bind(path)
    server.listen()
    client.connect(path)
    return client, server.accept()[0]

def say(text):
    print(text, flush=True)

monitor, qemu = peer("monitor.sock")
other, _end = peer("other.sock")
os.write(other.fileno(), b"no effect")
os.write(monitor.fileno(), b'{"execute":"query-jobs"}\\r\\n')
say(qemu.recv(100).decode().strip())
qemu.sendall(b'{"return": []}\\r\\n')
say(os.read(monitor.fileno(), 100).decode().strip())
monitor.sendmsg([b'{"execute":"getfd"}'])
say(qemu.recv(100).decode())
for path in (f"{top}/elsewhere", f"{top}/libvirt/qemu/vm.xml"):
    open(f"{path}.new", "w").close()
    os.rename(f"{path}.new", path)
    say(os.path.exists(path))
os.unlink(path)
say(os.path.exists(path))
number = monitor.fileno()
monitor.close()
# The number is another file's now.
with open(f"{top}/elsewhere", "w") as stream:
    os.write(os.dup2(stream.fileno(), number), b"no effect")
if os.fork() == 0:
    os.rename(f"{top}/elsewhere", path)
    os._exit(0)
os.wait()
say(os.environ.get("LD_PRELOAD"))
"""
TOLD = [
    "asks query-jobs",
    "hears an answer",
    "asks getfd",
    "before {} is replaced",
    "{} is replaced",
    "before {} is removed",
]
SAID = ['{"execute":"query-jobs"}', '{"return": []}', '{"execute":"getfd"}', "True", "True", "False", "None"]
# What it still said before it died of each effect.
SAID_BEFORE = (0, 1, 2, 4, 4, 5)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("library") / "libeffects.so"
    vm_effects.compile_library(path)
    return path


@pytest.fixture
def folder(library: Path, tmp_path: Path) -> Iterator[Path]:
    """With the library in it; short, for the sockets' sake."""
    shutil.copy(library, tmp_path)
    (tmp_path / "libvirt" / "qemu").mkdir(parents=True)
    yield tmp_path


def run(folder: Path, effects: Effects) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", ACT, "."],
        cwd=folder,
        env={**os.environ, **effects.variables},
        capture_output=True,
        text=True,
        check=False,
    )


def told(count: int) -> list[str]:
    return [one.format("./libvirt/qemu/vm.xml") for one in TOLD[:count]]


@needs_compiler
def test_all_effects_are_told_and_no_others(folder: Path) -> None:
    effects = Effects(str(folder))
    effects.allow(ALL)
    done = run(folder, effects)
    assert (done.returncode, done.stdout.splitlines(), done.stderr) == (0, SAID, "")
    assert effects.end() == told(6)


@needs_compiler
@pytest.mark.parametrize("number", range(1, 7))
def test_it_dies_of_the_last_effect_that_it_may_have(folder: Path, number: int) -> None:
    effects = Effects(str(folder))
    effects.allow(number)
    done = run(folder, effects)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert done.stdout.splitlines() == SAID[: SAID_BEFORE[number - 1]]
    # The one that is started in its place is not meant.
    for path in folder.glob("*.sock"):
        path.unlink()
    assert run(folder, effects).returncode == 0
    assert effects.end() == told(number)


@needs_compiler
def test_what_it_died_of_is_half_done(folder: Path) -> None:
    effects = Effects(str(folder))
    effects.allow(4)
    run(folder, effects)
    assert sorted(os.listdir(folder / "libvirt" / "qemu")) == ["vm.xml.new"]


@needs_compiler
def test_nothing_is_told_before_and_after(folder: Path) -> None:
    effects = Effects(str(folder))
    assert run(folder, effects).returncode == 0
    effects.allow(ALL)
    assert effects.end() == []


def test_without_a_compiler_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(host.Failed, match="needs a C compiler.*'tests/setup compiler' installs it"):
        vm_effects.compile_library(tmp_path / "libeffects.so")


@needs_compiler
def test_the_compilers_words_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = tmp_path / "effects.c"
    source.write_text("int broken", encoding="utf-8")
    monkeypatch.setattr(vm_effects, "_SOURCE", source)
    with pytest.raises(host.Failed, match=r"effects\.c could not be compiled: .*error"):
        vm_effects.compile_library(tmp_path / "libeffects.so")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('write {"execute":"block-commit","arguments":{"device":"x"},"id":"libvirt-40"}', "asks block-commit"),
        ('write "arguments":{}}', "asks more"),
        ('read {"timestamp": {"seconds": 1}, "event": "BLOCK_JOB_READY", "data": {}}', "hears BLOCK_JOB_READY"),
        ('read {"return": {}, "id": "libvirt-40"} ', "hears an answer"),
        ("rename /run/libvirt/qemu/a b.xml", "before /run/libvirt/qemu/a b.xml is replaced"),
        ("renamed /etc/libvirt/qemu/{}.xml", "/etc/libvirt/qemu/{}.xml is replaced"),
        ("unlink /run/libvirt/qemu/vm.pid", "before /run/libvirt/qemu/vm.pid is removed"),
    ],
)
def test_an_effect_in_a_few_words(line: str, name: str) -> None:
    assert named(line) == name


@pytest.mark.parametrize(
    ("count", "every", "found"),
    [(0, 1, []), (1, 1, [1]), (3, 1, [1, 2, 3]), (0, 12, []), (1, 12, [1])],
)
def test_effects_that_leave_no_choice(count: int, every: int, found: list[int]) -> None:
    assert list(chosen(count, every, random.Random("seed"))) == found


def test_in_time_each_effect_is_chosen() -> None:
    samples = [list(chosen(30, 12, random.Random(str(seed)))) for seed in range(200)]
    assert {number for sample in samples for number in sample} == set(range(1, 31))
    assert all(len(sample) in (2, 3) and sample[1] - sample[0] == 12 for sample in samples)


def test_the_same_seed_chooses_the_same_effects() -> None:
    assert chosen(30, 12, random.Random("5 take")) == chosen(30, 12, random.Random("5 take"))
