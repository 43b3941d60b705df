# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, MissingLibrary
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import image_check
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.bounded import run_bounded
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import Image
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image_check import check_image
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image_locks import kept_from_engines
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image_snapshots import CREATE, snapshot_arguments


@pytest.mark.parametrize(("format", "checkable"), [("raw", False), ("vhd", False), ("qcow2", True), ("vdi", True)])
def test_formats(tmp_path: Path, format: str, checkable: bool) -> None:
    image = Image(str(tmp_path / "image"), format)
    subprocess.run(["qemu-img", "create", "-q", "-f", image.driver, image.path, "1M"], check=True)
    report = check_image(image)
    assert report.checkable == checkable and report.sound


def test_a_job_that_gives_an_image_its_name_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_check, "_LOCK_SECONDS", 120.0)
    image = Image(str(tmp_path / "image"), "qcow2")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image.path, "1M"], check=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(kept_from_engines(image.path))
        with pytest.raises(subprocess.CalledProcessError):
            subprocess.run(["qemu-img", "check", "-q", "-f", "qcow2", image.path], check=True, capture_output=True)
        threading.Timer(0.3, stack.pop_all().close).start()
    assert check_image(image).sound


def test_what_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(bytes(4096))
    with pytest.raises(EngineError, match="not in qcow2 format"):
        check_image(Image(str(tmp_path / "image"), "qcow2"))


def test_many_words_are_kept_short() -> None:
    said = run_bounded([sys.executable, "-c", "import sys; [sys.stderr.write('word %d\\n' % n) for n in range(10**6)]"])
    assert len(said.stderr) <= 128 << 10
    assert said.stderr.startswith("word 0\n") and said.stderr.endswith("word 999999\n")


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(MissingLibrary, match="nothing-like-it"):
        run_bounded(["nothing-like-it"])


def test_a_comma_in_a_path_ends_no_option() -> None:
    argv = snapshot_arguments(Image("/a,b", "qcow2"), CREATE, "one")
    assert argv[-1] == "driver=qcow2,file.driver=file,file.filename=/a,,b"
