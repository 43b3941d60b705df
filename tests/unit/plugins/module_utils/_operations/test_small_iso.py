# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import random
import struct
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._operations import small_iso
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_seed import read_seed
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_seed import build

FILES = {"meta-data": "x: 1\n", "user-data": "#cloud-config\n{}\n"}
# The primary volume descriptor, the first folder's record in it, and the record's length in both byte orders (ECMA-119, 8.4, 9.1).
_LENGTH_AT = 16 * 2048 + 156 + 10


def with_folder_of(path: Path, length: int) -> Path:
    """A seed whose first folder is longer than any, with nothing in it but what it had; on disk it takes no room."""
    data = bytearray(build(FILES))
    data[_LENGTH_AT : _LENGTH_AT + 8] = struct.pack("<I", length) + struct.pack(">I", length)
    path.write_bytes(data)
    with open(path, "r+b") as stream:
        stream.truncate(length + (1 << 20))
    return path


def test_folders_have_a_most(tmp_path: Path) -> None:
    path = with_folder_of(tmp_path / "x.iso", 200 << 20)
    with (
        pytest.raises(UnsafeImage, match=r"^iso: it has, or claims, more than 128 MiB of folders"),
        small_iso.opened(str(path), folders=128 << 20, what="iso: it", option="kernel"),
    ):
        pass


def test_a_seed_has_small_folders(tmp_path: Path) -> None:
    with pytest.raises(
        UnsafeImage, match=r"^source: the cloud-init seed .* more than 4 MiB of folders.*; get it again\.$"
    ):
        read_seed(str(with_folder_of(tmp_path / "x.iso", 30 << 20)))


def test_files_may_be_larger_than_folders(tmp_path: Path) -> None:
    path = tmp_path / "x.iso"
    path.write_bytes(build({**FILES, "user-data": "x" * (1 << 20)}))
    with small_iso.opened(str(path), folders=1 << 19, what="it", option="cloud_init") as image:
        assert len(list(image.list_children(joliet_path="/"))) == 4
        with open(tmp_path / "out", "wb") as stream:
            image.get_file_from_iso_fp(stream, joliet_path="/user-data")
    assert (tmp_path / "out").stat().st_size == 1 << 20


def test_damage_is_read_or_refused(tmp_path: Path) -> None:
    sound, path = build(FILES), tmp_path / "x.iso"
    used = [at for at in range(16 * 2048, len(sound)) if sound[at]]
    for seed in range(1000):
        chance, data = random.Random(seed), bytearray(sound)
        for at in chance.sample(used, 3):
            data[at] = chance.choice([0, 1, 255, chance.randrange(256)])
        path.write_bytes(data)
        with contextlib.suppress(UnsafeImage):
            read_seed(str(path))
