# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from pathlib import Path

from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_snapshot_mark import (
    is_marked,
    recover,
    set_mark,
)
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import Image

_CLUSTER = 65536


def qemu_img(*words: str) -> int:
    return subprocess.run(["qemu-img", *words], stdout=subprocess.DEVNULL, check=False).returncode


def count(path: Path, cluster: int) -> None:
    """Let `cluster` count as used: 16 bits in the first block of reference counts (QEMU's docs/interop/qcow2.txt)."""
    with path.open("r+b") as stream:
        stream.seek(48)
        stream.seek(int.from_bytes(stream.read(8), "big"))
        stream.seek(int.from_bytes(stream.read(8), "big") + 2 * cluster)
        stream.write(b"\0\1")


def test_what_was_counted_behind_the_end_of_the_file_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "image.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", str(path), "1G")
    size = path.stat().st_size
    count(path, size // _CLUSTER + 3)
    assert qemu_img("check", "-q", "-f", "qcow2", str(path)) == 0  # it doesn't look there
    set_mark(str(path), keeps=True)
    recover(Image(str(path), "qcow2"))
    assert path.stat().st_size == size and not is_marked(str(path))
    os.truncate(path, size + 8 * _CLUSTER)
    assert qemu_img("check", "-q", "-f", "qcow2", str(path)) == 0
