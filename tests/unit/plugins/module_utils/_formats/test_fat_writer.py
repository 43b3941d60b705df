# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.fat_writer import write_fat

MIB = 1 << 20
FILES = {"EFI/BOOT/BOOTX64.EFI": bytes(range(256)) * 4000, "EFI/TEST/A.TXT": b"a"}


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as stream:
        stream.truncate(65 * MIB)
        write_fat(stream, at=MIB, size=64 * MIB, serial=0x12345678, label="ESP", files=FILES)
    return path


def partition(disk: Path) -> Path:
    found = disk.with_name("partition")
    found.write_bytes(disk.read_bytes()[MIB:])
    return found


def test_the_same_files_give_the_same_bytes(disk: Path, tmp_path: Path) -> None:
    before = disk.read_bytes()
    with disk.open("r+b") as stream:
        write_fat(stream, at=MIB, size=64 * MIB, serial=0x12345678, label="ESP", files=FILES)
    assert disk.read_bytes() == before
    assert not before[:MIB].strip(b"\0")


def test_a_small_one_and_long_names_are_refused(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as stream:
        with pytest.raises(ValueError, match="more room"):
            write_fat(stream, at=0, size=8 * MIB, serial=1, label="X", files={})
        with pytest.raises(ValueError, match="no name of eight"):
            write_fat(stream, at=0, size=64 * MIB, serial=1, label="X", files={"LONGERNAME.TXT": b""})


@pytest.mark.skipif(shutil.which("fsck.fat") is None, reason="dosfstools is not installed")
def test_fsck_finds_nothing_wrong_with_it(disk: Path) -> None:
    done = subprocess.run(["fsck.fat", "-n", "-v", str(partition(disk))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(shutil.which("mcopy") is None, reason="mtools is not installed")
def test_mtools_reads_the_files(disk: Path, tmp_path: Path) -> None:
    for name, content in FILES.items():
        subprocess.run(["mcopy", "-n", "-i", f"{disk}@@1M", f"::/{name}", str(tmp_path / "got")], check=True)
        assert (tmp_path / "got").read_bytes() == content
        (tmp_path / "got").unlink()
