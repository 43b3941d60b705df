# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import hashlib
import random
import tarfile
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_publish_layer
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_layer import write_layer


@pytest.mark.parametrize("size", [0, 1, 512, 100_000, 3 * 65536])
def test_a_layer_is_a_tar_that_every_tool_reads(tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_publish_layer, "_PIECE", 65536)
    disk, path, done = tmp_path / "disk", tmp_path / "layer", list[int]()
    disk.write_bytes(random.Random(size).randbytes(size))
    layer = write_layer(str(path), str(disk), "debian.qcow2", report=done.append)
    packed = path.read_bytes()
    assert (layer.size, layer.digest) == (len(packed), f"sha256:{hashlib.sha256(packed).hexdigest()}")
    assert layer.diff_id == f"sha256:{hashlib.sha256(gzip.decompress(packed)).hexdigest()}"
    with tarfile.open(path) as found:
        folder, member = found.getmembers()
        assert (folder.name, folder.isdir()) == ("disk", True)
        assert (member.name, member.uid, member.gid, member.mode) == ("disk/debian.qcow2", 107, 107, 0o440)
        stream = found.extractfile(member)
        assert stream is not None and stream.read() == disk.read_bytes()
    assert done == sorted(done)


def test_equal_disks_give_equal_layers(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"content" * 1000)
    layers = [
        write_layer(str(tmp_path / name), str(tmp_path / "disk"), "a.qcow2", report=lambda done: None)
        for name in ("one", "two")
    ]
    assert layers[0] == layers[1]
