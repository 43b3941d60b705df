# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
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
