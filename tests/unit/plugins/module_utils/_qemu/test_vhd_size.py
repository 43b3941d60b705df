# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.vhd_size import chs_size, geometry


@pytest.mark.parametrize("size", [512, 34816, 10 << 20, 1 << 30, (8 << 30) + 512, 31 << 30, 127 << 30, 500 << 30])
def test_the_size_is_the_one_that_qemu_img_makes(size: int, tmp_path: Path) -> None:
    path = str(tmp_path / "x.vhd")
    subprocess.run(["qemu-img", "create", "-q", "-f", "vpc", path, str(size)], check=True)
    told = subprocess.check_output(["qemu-img", "info", "-f", "vpc", "--output=json", path])
    assert json.loads(told)["virtual-size"] == chs_size(size)


def test_a_size_made_by_the_rule_stays() -> None:
    assert chs_size(chs_size(10 << 20)) == chs_size(10 << 20)


@pytest.mark.parametrize("sectors", [1, 10000, 1 << 24, 1 << 32])
def test_the_geometry_fits_its_fields(sectors: int) -> None:
    cylinders, heads, tracks = geometry(sectors)
    assert (cylinders <= 65535, heads <= 16, tracks <= 255) == (True, True, True)
