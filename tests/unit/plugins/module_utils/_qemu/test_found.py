# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import inspect_chain
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.found import found_options
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.options import (
    UNSEEN,
    completed,
    engine_arguments,
    parse_options,
)


@pytest.mark.parametrize(
    ("format", "given"),
    [
        ("raw", {}),
        ("qcow2", {}),
        ("qcow2", {"cluster_size": "128K", "compression_type": "zstd", "extended_l2": True, "lazy_refcounts": True}),
        ("qcow2", {"compat": "0.10"}),
        ("qcow2", {"refcount_bits": 64}),
        ("vmdk", {}),
        ("vmdk", {"adapter_type": "lsilogic", "hwversion": 11}),
        ("vmdk", {"subformat": "streamOptimized"}),
        ("vmdk", {"compat6": True}),
        ("vmdk", {"toolsversion": 12345, "zeroed_grain": True}),
        ("vhd", {"subformat": "fixed"}),
        ("vhd", {}),
        ("vhdx", {"subformat": "fixed", "block_size": "16M", "log_size": "2M"}),
        ("vhdx", {"block_size": "1M", "block_state_zero": False}),
        ("vdi", {"static": True}),
        ("vdi", {}),
    ],
)
def test_options_given_to_qemu_img_are_found_in_the_header(tmp_path: Path, format: str, given: dict[str, Any]) -> None:
    values = parse_options(format, given)
    path, driver = str(tmp_path / "x"), "vpc" if format == "vhd" else format
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", driver, *engine_arguments(format, values), path, "64M"], check=True
    )
    wanted = completed(format, values)
    for unseen in ("preallocation", *UNSEEN):
        wanted.pop(unseen, None)
    assert found_options(inspect_chain(path)[0].facts) == wanted


def test_what_a_descriptor_does_not_say_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "image"
    subprocess.run(["qemu-img", "create", "-q", "-f", "vmdk", path, "1M"], check=True)
    path.write_bytes(re.sub(rb"ddb\.(virtualHWVersion|toolsVersion)", rb"#db.\1", path.read_bytes()))
    told = found_options(inspect_chain(str(path))[0].facts)
    assert (told["hwversion"], told["toolsversion"]) == (None, None)
