# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_archives import write_gcp
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_work import OpenDisk, Work
from ansible_collections.imageops.fleet.plugins.module_utils._operations.inspection import inspect
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.tests.unit.export_params import params_of

pytestmark = pytest.mark.usefixtures("state_dir")


class Scattered:
    """A disk of 16 TiB with a bit of data everywhere, which nobody could read to its end."""

    size = 16 << 40

    def extents(self) -> Iterator[tuple[int, int]]:
        for at in range(0, self.size, 40 << 20):
            yield at, at + 4096

    def read(self, offset: int, length: int) -> bytes:
        raise EOFError


def test_the_places_of_data_are_not_all_in_memory(tmp_path: Path) -> None:
    """400000 of them take 50 MB as Python's numbers."""
    disk = tmp_path / "disk"
    disk.write_bytes(b"x" * 512)
    request = read_request(params_of(tmp_path / "web.tar.gz", "gcp", disk), Tools())
    opened = OpenDisk(replace(request.disks[0], size=Scattered.size), Scattered(), inspect(str(disk), declared="raw"))
    progress = Progress(JobState("export-x", "export", "r"), Clock())
    work = Work(request, [opened], str(tmp_path / ".partial"), "", progress, 0)
    tracemalloc.start()
    try:
        with pytest.raises(EOFError):
            write_gcp(work)
        assert tracemalloc.get_traced_memory()[1] < 24 << 20
    finally:
        tracemalloc.stop()
    assert sorted(os.listdir(tmp_path)) == [".partial", "disk", "state"]
