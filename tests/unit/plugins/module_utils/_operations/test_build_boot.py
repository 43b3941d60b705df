# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import struct
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, NoSpace
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import inspect_chain
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_boot import (
    BOOT_CODE,
    CORE,
    EFI,
    Identities,
    boot_code,
    booting,
    core_image,
    disk_size,
    write_disk,
)

MIB = 1 << 20


def test_identities_follow_from_the_recipe() -> None:
    one, same, other = Identities("a"), Identities("a"), Identities("b")
    assert one.of("root") == same.of("root") != other.of("root") and one.esp == same.esp != other.esp
    _needs, loader = booting(one)
    assert f"root=UUID={one.of('root')}" in loader.text and f"UUID={one.esp} /boot/efi" in loader.text


def test_the_first_stage_finds_the_second_and_that_the_rest_of_itself() -> None:
    code, core = boot_code(bytes(512)), core_image(bytes(512 * 3 + 1))
    assert struct.unpack_from("<Q", code, 0x5C) == (2048,) and code[0x66:0x68] == b"\x90\x90"
    assert struct.unpack_from("<QHH", core, 500) == (2049, 3, 0x820)
    with pytest.raises(EngineError, match=r"boot\.img is not one sector"):
        boot_code(bytes(511))
    with pytest.raises(EngineError, match="BIOS boot partition"):
        core_image(bytes(MIB + 1))


def test_a_disk_that_is_too_small_for_the_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(MIB))
    with pytest.raises(NoSpace, match="size: the files need about 99"):
        disk_size(str(tmp_path), 64 * MIB)
    assert disk_size(str(tmp_path), 200 * MIB) == 200 * MIB
    assert disk_size(str(tmp_path), None) > 190 * MIB


def test_the_disk_has_its_partitions_and_the_files(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "file").write_text("content")
    lock = (tmp_path / "lock").open("w")
    loader = {BOOT_CODE: bytes(512), CORE: b"core" * 400, EFI: b"efi"}
    write_disk(
        str(tmp_path / "disk"), str(tree), size=160 * MIB, identities=Identities("a"), loader=loader, lock=lock.fileno()
    )
    lock.close()
    table = inspect_chain(str(tmp_path / "disk"), declared="raw")[0].facts.partition_table
    assert table and [one["name"] for one in table["partitions"]] == ["bios", "esp", "root"]
    data = (tmp_path / "disk").read_bytes()
    assert data[MIB:].startswith(b"core") and data[66 * MIB + 1080 : 66 * MIB + 1082] == b"\x53\xef"
    assert b"content" in data[66 * MIB :]
