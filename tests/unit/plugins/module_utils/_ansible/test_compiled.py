# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs of a zip archive such as Ansible sends, each in a process of its own."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._ansible import compiled

PACKAGE = compiled.__name__.rsplit(".", 2)[0]
UTILS = Path(compiled.__file__).resolve().parents[1]
PROGRAM = f"""
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(str(args[1])) if event == "compile" else None)
sys.path.insert(0, sys.argv[1])
from {PACKAGE}._ansible.compiled import COMPILED
COMPILED.use()
from {PACKAGE} import _late
times = sum("_late.py" in name for name in seen)
COMPILED.keep()
import importlib.util
text = importlib.util.find_spec("{PACKAGE}._late").loader.get_source("{PACKAGE}._late")
print(_late.WORD, times, text.strip())
"""


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return payload(tmp_path / "payload.zip", "WORD = 'one'")


def payload(path: Path, late: str) -> Path:
    """An archive with the files that compiled.py needs, and one more."""
    folder = PACKAGE.replace(".", "/")
    parts = folder.split("/")
    files = {f"{'/'.join(parts[:depth])}/__init__.py": "" for depth in range(1, len(parts) + 1)}
    files.update({f"{folder}/{room}/__init__.py": "" for room in ("_ansible", "_jobs")})
    for name in ("_ansible/compiled.py", "_jobs/payload.py", "_jobs/helper.py", "_files.py", "_errors.py", "_sizes.py"):
        files[f"{folder}/{name}"] = (UTILS / name).read_text(encoding="utf-8")
    files[f"{folder}/_late.py"] = late + "\n"
    with zipfile.ZipFile(path, "w") as stream:
        for name, text in files.items():
            stream.writestr(name, text)
    return path


def run(archive: Path) -> list[str]:
    """The word, how often its file was compiled, its source."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-I", "-c", PROGRAM, str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=True)
    return done.stdout.split(maxsplit=2)


def kept(state_dir: Path) -> list[Path]:
    return sorted((state_dir / "helper").glob("*.compiled"))


def test_the_second_run_compiles_nothing(archive: Path, state_dir: Path) -> None:
    first = run(archive)
    assert first[0] == "one" and int(first[1]) > 0
    (file,) = kept(state_dir)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert run(archive)[:2] == ["one", "0"]
    assert run(archive)[2].startswith("WORD = 'one'")


def test_other_code_never_meets_it(archive: Path, state_dir: Path, tmp_path: Path) -> None:
    run(archive)
    other = payload(tmp_path / "other.zip", "WORD = 'two'")
    assert run(other)[0] == "two"
    assert run(other)[:2] == ["two", "0"]
    assert len(kept(state_dir)) == 2


@pytest.mark.parametrize("damage", ["others may write", "half", "other data"])
def test_what_can_not_be_trusted_is_not_used(damage: str, archive: Path, state_dir: Path) -> None:
    run(archive)
    (file,) = kept(state_dir)
    if damage == "others may write":
        file.chmod(0o666)
    else:
        file.write_bytes(file.read_bytes()[:99] if damage == "half" else b"no marshalled data")
    word, compiled_times, _source = run(archive)
    assert word == "one" and int(compiled_times) > 0


def test_the_helper_of_a_payload_is_known_without_reading_it(archive: Path, state_dir: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, sys.argv[1])
from {PACKAGE}._jobs import helper
entry = "{PACKAGE}._jobs.payload"
first = helper.helper_program(entry)
helper.sources = None
assert helper.helper_program(entry) == first
print(first)
"""
    command = [sys.executable, "-I", "-c", program, str(archive)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": ""})
    (kept_helper,) = (state_dir / "helper").glob("*.pyz")
    assert done.stdout.strip() == str(kept_helper)


def test_outside_of_an_archive_nothing_is_kept(state_dir: Path) -> None:
    compiled.COMPILED.keep()
    assert kept(state_dir) == []
