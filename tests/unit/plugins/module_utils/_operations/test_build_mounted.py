# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw copy that the chroot engine works on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _files
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NoSpace
from ansible_collections.imageops.fleet.plugins.module_utils._operations import build_mounted
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import Image

from .._formats.images import qemu_img


class Quiet:
    def phase(self, name: str, **told: Any) -> None: ...


def test_the_raw_copy_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").write_bytes(b"a" * (8 << 20))
    disk = tmp_path / "golden-work"
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", str(tmp_path / "plain"), str(disk))
    free = os.statvfs_result((1, 4096, 1024, 1024, 1024, 0, 0, 0, 0, 255))
    with monkeypatch.context() as short, (tmp_path / "lock").open("w") as lock:
        short.setattr(_files.os, "statvfs", lambda folder: free)
        with pytest.raises(NoSpace, match="^engine: the raw copy that chroot works on needs about 8"):
            build_mounted._make_raw(Image(str(disk), "qcow2"), Quiet(), lock.fileno())  # type: ignore[arg-type]
    assert sorted(os.listdir(tmp_path)) == ["golden-work", "lock", "plain"]
    with (tmp_path / "lock").open("w") as lock:
        build_mounted._make_raw(Image(str(disk), "qcow2"), Quiet(), lock.fileno())  # type: ignore[arg-type]
    assert disk.read_bytes() == (tmp_path / "plain").read_bytes()
