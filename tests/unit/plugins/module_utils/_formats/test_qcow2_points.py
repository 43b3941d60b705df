# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_points import read_points


def command(*argv: object) -> None:
    subprocess.run([str(word) for word in argv], check=True, capture_output=True)


@pytest.mark.parametrize("options", ["compat=1.1", "compat=0.10", "extended_l2=on", "cluster_size=512"])
def test_points_of_a_disk(tmp_path: Path, options: str) -> None:
    path = tmp_path / "image"
    command("qemu-img", "create", "-f", "qcow2", "-o", options, path, "4M")
    command("qemu-io", "-f", "qcow2", "-c", "write -P 1 0 1M", path)
    assert read_points(str(path)).points == ()
    for name in ("one", "two with words"):
        command("qemu-img", "snapshot", "-c", name, path)
    points = read_points(str(path))
    assert [(point.id, point.name, point.current) for point in points.points] == [
        ("1", "one", True),
        ("2", "two with words", True),
    ]
    assert points.points[0].disk_size == points.virtual_size == 4 << 20
    command("qemu-io", "-f", "qcow2", "-c", "write -P 2 0 64k", path)
    assert not any(point.current for point in read_points(str(path)).points)
    command("qemu-img", "snapshot", "-a", "one", path)
    assert all(point.current for point in read_points(str(path)).points)


def test_another_size_is_another_point(tmp_path: Path) -> None:
    path = tmp_path / "image"
    command("qemu-img", "create", "-f", "qcow2", path, "4M")
    command("qemu-img", "snapshot", "-c", "small", path)
    command("qemu-img", "resize", "-f", "qcow2", path, "8M")
    point = read_points(str(path)).named("small")[0]
    assert (point.disk_size, point.current) == (4 << 20, False)


def test_claims_are_bounded(tmp_path: Path) -> None:
    path = tmp_path / "image"
    command("qemu-img", "create", "-f", "qcow2", path, "4M")
    with path.open("r+b") as stream:
        stream.seek(60)
        stream.write(b"\xff\xff\xff\xff")
    with pytest.raises(UnsafeImage, match="more snapshots"):
        read_points(str(path))
