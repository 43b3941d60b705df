# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.blocks import DiskBlocks
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.ranges import Part
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull_log import Past, PullLog

pytestmark = pytest.mark.usefixtures("state_dir")
COUNT = 10
BLOCKS = DiskBlocks(
    1 << 30,
    ["one", "two"],
    array("I", range(COUNT)),
    array("I", [number % 2 for number in range(COUNT)]),
    array("I", [100 * number for number in range(COUNT)]),
    array("I", [100] * COUNT),
)
IDENTITY = {"digest": "sha256:1", "disk": "vda", "format": "raw"}


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    Path(partial_path(str(tmp_path / "image"))).touch()
    return tmp_path / "image"


def marked(found: bytearray) -> list[int]:
    return [index for index, is_marked in enumerate(found) if is_marked]


def past(dest: Path, identity: dict[str, str] | None = None) -> Past | None:
    return PullLog(str(dest)).load(identity or IDENTITY, BLOCKS)


def written(dest: Path, lines: Sequence[str]) -> Past:
    log = PullLog(str(dest))
    log.open(IDENTITY, fresh=True)
    log.close()
    with open(log.path, "a", encoding="latin-1") as stream:
        stream.write("\n".join(lines))
    found = past(dest)
    assert found is not None
    return found


def test_a_log_tells_what_was_done(dest: Path) -> None:
    log = PullLog(str(dest))
    log.open(IDENTITY, fresh=True)
    log.begun(Part(0, 0, 300, [0, 2]))
    log.begun(Part(1, 100, 200, [1]))
    log.done(Part(0, 0, 300, [0, 2]))
    log.local(7, 8)
    log.close()
    found = past(dest)
    assert found is not None
    assert marked(found.written) == [0, 2, 7, 8]
    assert marked(found.asked) == [0, 1, 2]


def test_a_log_is_gone_on_with(dest: Path) -> None:
    log = PullLog(str(dest))
    for part in (Part(0, 0, 100, [0]), Part(1, 100, 200, [1])):
        log.open(IDENTITY, fresh=part.pack == 0)
        log.done(part)
        log.close()
    found = past(dest)
    assert found is not None and marked(found.written) == [0, 1]


def test_another_pull_does_not_count(dest: Path) -> None:
    written(dest, [])
    assert past(dest, {**IDENTITY, "format": "qcow2"}) is None
    Path(partial_path(str(dest))).unlink()
    assert past(dest) is None


def test_nothing_is_there(dest: Path) -> None:
    assert past(dest) is None


@pytest.mark.parametrize(
    "line", ["", "done 0", "done 0 x 5", "local 8 99", "local 3 2", "done -1 0 100", "done 5 0 100", "\xff"]
)
def test_a_line_that_makes_no_sense_is_passed_over(dest: Path, line: str) -> None:
    assert marked(written(dest, [line, "local 0 0", "do"]).written) == [0]


def test_a_log_is_forgotten(dest: Path) -> None:
    log = PullLog(str(dest))
    log.open(IDENTITY, fresh=True)
    log.forget()
    assert past(dest) is None
    log.forget()
