# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import Image
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.rebase import (
    compare_arguments,
    differences_arguments,
    header_arguments,
    repair_arguments,
)


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def disks(tmp_path: Path) -> tuple[Image, Image, Image]:
    old, new, top = (
        Image(str(tmp_path / name), format) for name, format in (("old", "raw"), ("new", "raw"), ("to,p", "qcow2"))
    )
    Path(old.path).write_bytes(b"\1" * (1 << 20))
    Path(new.path).write_bytes(b"\1" * (1 << 19) + b"\2" * (1 << 19))
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", old.path, "-F", "raw", top.path)
    return old, new, top


def test_only_the_header_changes(tmp_path: Path) -> None:
    _old, new, top = disks(tmp_path)
    size = Path(top.path).stat().st_blocks
    Commands().output(header_arguments(top, backing=new, name="new"))
    assert "backing file: new (actual path" in run("qemu-img", "info", "-f", "qcow2", top.path)
    Commands().output(header_arguments(top, backing=None))
    assert "backing" not in run("qemu-img", "info", "-f", "qcow2", top.path)
    assert Path(top.path).stat().st_blocks == size


def test_differences_are_copied_with_a_limit_too(tmp_path: Path) -> None:
    for limit in (None, 100 << 20):
        old, new, top = disks(tmp_path)
        Commands().output(differences_arguments(top, backing=new, rate_limit=limit))
        Commands().output(compare_arguments([top, new], [old]))
        assert "backing file format: raw" in run("qemu-img", "info", "-f", "qcow2", top.path)
        Path(top.path).unlink()


def test_every_call_names_the_formats(tmp_path: Path) -> None:
    _old, new, top = disks(tmp_path)
    for argv in (header_arguments(top, backing=new), differences_arguments(top, backing=new), repair_arguments(top)):
        assert argv[argv.index("-f") + 1] == "qcow2"
        assert "-b" not in argv or argv[argv.index("-F") + 1] == "raw"
