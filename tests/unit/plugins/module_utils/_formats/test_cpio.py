# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

from ansible_collections.imageops.fleet.plugins.module_utils._formats.cpio import ALIGNMENT, newc


def test_the_kernel_reads_names_modes_and_content() -> None:
    data = newc({"preseed.cfg": b"answers", "a": b""})
    assert data.startswith(b"070701") and len(data) % ALIGNMENT == 0
    first = data.index(b"preseed.cfg\0") - 110
    fields = [int(data[first + 6 + 8 * number : first + 14 + 8 * number], 16) for number in range(13)]
    assert (fields[1], fields[2], fields[6], fields[11]) == (0o100600, 0, 7, 12)
    assert data[first + 110 + 14 :].startswith(b"answers")
    assert b"TRAILER!!!" in data


def test_a_program_of_others_unpacks_it(tmp_path: Path) -> None:
    busybox = subprocess.run(["sh", "-c", "command -v cpio"], capture_output=True, check=False)
    if busybox.returncode:
        return
    archive = newc({"one": b"x" * 5, "two": b"yy"})
    subprocess.run(["cpio", "-i", "--quiet"], input=archive, cwd=tmp_path, check=True)
    assert (tmp_path / "one").read_bytes() == b"xxxxx" and (tmp_path / "two").read_bytes() == b"yy"
