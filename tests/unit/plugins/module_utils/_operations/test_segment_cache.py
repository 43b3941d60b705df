# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._operations import held_variables, segment_cache
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_variables import tidy_variables
from ansible_collections.imageops.fleet.plugins.module_utils._operations.segment_cache import (
    SegmentCache,
    tidy_segments,
)

pytestmark = pytest.mark.usefixtures("state_dir")
DATA = b"a segment"
DIGEST = digest_of(DATA)


def test_what_is_kept_is_found() -> None:
    assert SegmentCache().get(DIGEST) is None
    SegmentCache().put(DIGEST, DATA)
    assert SegmentCache().get(DIGEST) == DATA


def test_who_only_looks_keeps_nothing(state_dir: Path) -> None:
    SegmentCache(writes=False).put(DIGEST, DATA)
    assert not state_dir.exists()


def test_what_is_damaged_does_not_count(state_dir: Path) -> None:
    SegmentCache().put(DIGEST, DATA)
    (state_dir / "segments" / DIGEST.partition(":")[2]).write_bytes(b"other")
    assert SegmentCache().get(DIGEST) is None


def test_old_ones_that_nobody_names_go(state_dir: Path) -> None:
    other = b"another"
    for data in (DATA, other):
        SegmentCache().put(digest_of(data), data)
    now = (state_dir / "segments").stat().st_mtime
    tidy_segments([DIGEST], now + 3600)
    assert SegmentCache().get(digest_of(other)) == other
    tidy_segments([DIGEST], now + 30 * 86400)
    assert SegmentCache().get(digest_of(other)) is None
    assert SegmentCache().get(DIGEST) == DATA


@pytest.mark.parametrize(("module", "tidy"), [(segment_cache, tidy_segments), (held_variables, tidy_variables)])
def test_other_pulls_may_rename_meanwhile(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, module: Any, tidy: Any
) -> None:
    folder = Path(module.state_dir(module._FOLDER))
    for name in ("0" * 64, "1" * 64):
        (folder / name).touch()
    partial, listed = folder / f".{'2' * 64}.imageops-partial-1", os.scandir

    def scandir(path: str) -> Any:
        partial.touch()
        with listed(path) as found:
            entries = list(found)
        partial.replace(folder / ("2" * 64))
        return iter(entries)

    monkeypatch.setattr(module.os, "scandir", scandir)
    tidy([], (folder / ("0" * 64)).stat().st_mtime + 30 * 86400)
    assert os.listdir(folder) == ["2" * 64]
