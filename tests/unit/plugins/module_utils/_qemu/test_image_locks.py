# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InUse
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image_locks import holders, kept_from_engines


@pytest.fixture
def image(tmp_path: Path) -> str:
    path = tmp_path / "x.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "1M"], check=True)
    return str(path)


@pytest.fixture
def engine(image: str, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A real QEMU process that has the image open."""
    argv = ["qemu-io", *request.param, "-f", "qcow2", image]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    process.stdin.write("length\n")
    process.stdin.flush()
    process.stdout.read(8)
    yield process
    process.stdin.close()
    process.wait()


def test_nobody_has_it(image: str) -> None:
    assert holders(image) is None
    assert holders(image + ".missing") is None


@pytest.mark.parametrize(("engine", "how"), [([], "writing"), (["-r"], "reading")], indirect=["engine"])
def test_an_engine_is_seen_and_kept_off(engine: subprocess.Popen[str], image: str, how: str) -> None:
    found = holders(image)
    assert found is not None and found.sentence() == f"opened for {how} by process {engine.pid} (qemu-io)"
    with pytest.raises(InUse, match=f"opened for {how} by process {engine.pid}"), kept_from_engines(image):
        pass


def test_no_engine_can_open_what_is_kept(image: str) -> None:
    argv = ["qemu-io", "-c", "length", "-f", "qcow2", image]
    with kept_from_engines(image):
        assert "lock" in subprocess.run(argv, capture_output=True, text=True, check=False).stderr
    assert subprocess.run(argv, capture_output=True, text=True, check=False).returncode == 0


def test_nothing_there_is_nothing_to_keep(tmp_path: Path) -> None:
    with kept_from_engines(str(tmp_path / "missing")):
        assert not list(tmp_path.iterdir())
