# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from uuid import UUID

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import inspect_chain
from ansible_collections.imageops.fleet.plugins.module_utils._formats.gpt_writer import (
    BIOS_BOOT,
    ROOT_X86_64,
    NewPartition,
    write_gpt,
)

MIB = 1 << 20
PARTITIONS = [
    NewPartition(BIOS_BOOT, UUID(int=1), MIB, MIB, "bios"),
    NewPartition(ROOT_X86_64, UUID(int=2), 2 * MIB, 5 * MIB, "root"),
]


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "disk"
    with path.open("wb") as stream:
        stream.truncate(8 * MIB)
        write_gpt(stream, size=8 * MIB, disk=UUID(int=3), partitions=PARTITIONS, boot_code=b"code")
    return path


def test_our_parser_finds_nothing_wrong_with_it(disk: Path) -> None:
    facts = inspect_chain(str(disk), declared="raw")[0].facts
    table = facts.partition_table
    assert table and (table["type"], table["primary"], table["backup"]) == ("gpt", "valid", "valid")
    assert table["disk_id"] == str(UUID(int=3))
    found = [(one["name"], one["start"], one["size"], one["type"]) for one in table["partitions"]]
    assert found == [("bios", MIB, MIB, str(BIOS_BOOT)), ("root", 2 * MIB, 5 * MIB, str(ROOT_X86_64))]
    assert not facts.findings


def test_the_boot_code_stands_before_the_table(disk: Path) -> None:
    data = disk.read_bytes()
    assert data.startswith(b"code") and data[510:512] == b"\x55\xaa" and data[450] == 0xEE


@pytest.mark.skipif(shutil.which("sfdisk") is None, reason="sfdisk is not installed")
def test_sfdisk_agrees(disk: Path) -> None:
    done = subprocess.run(["sfdisk", "--verify", str(disk)], capture_output=True, text=True, check=True)
    assert "No errors detected" in done.stdout
