# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound, TransferError
from ansible_collections.imageops.fleet.plugins.module_utils._registry.pack_cache import PackCache

PACK = bytes(range(256)) * 4096
DIGEST = digest_of(PACK)
HEX = DIGEST.removeprefix("sha256:")


def test_what_is_written_is_read_by_another(tmp_path: Path) -> None:
    mine, other = PackCache(str(tmp_path / "packs")), PackCache(str(tmp_path / "packs"))
    assert not other.has(DIGEST, 0, 1) and other.changed() == 0.0
    mine.write(DIGEST, 100, PACK[100:300])
    assert other.has(DIGEST, 100, 200) and other.has(DIGEST, 150, 50)
    assert not other.has(DIGEST, 99, 2) and not other.has(DIGEST, 299, 2)
    assert other.read(DIGEST, 120, 30) == PACK[120:150]
    assert other.changed() > 0


def test_ranges_that_touch_are_joined(tmp_path: Path) -> None:
    cache = PackCache(str(tmp_path))
    for offset, length in ((0, 10), (20, 10), (40, 10), (5, 10)):
        cache.write(DIGEST, offset, PACK[offset : offset + length])
    assert cache.has(DIGEST, 0, 15) and not cache.has(DIGEST, 0, 16) and not cache.has(DIGEST, 20, 30)
    cache.write(DIGEST, 15, PACK[15:40])
    assert cache.has(DIGEST, 0, 50) and cache.read(DIGEST, 0, 50) == PACK[:50]


def test_a_line_that_is_being_written_does_not_count(tmp_path: Path) -> None:
    cache = PackCache(str(tmp_path))
    cache.write(DIGEST, 0, PACK[:10])
    with (tmp_path / f"{HEX}.ranges").open("a") as log:
        log.write("10 20")
        log.flush()
        assert not cache.has(DIGEST, 10, 20)
        log.write("0\nnonsense\n-5 7\n1 2 3\n")
        log.flush()
        assert cache.has(DIGEST, 10, 200)


def test_what_is_not_there_is_not_read(tmp_path: Path) -> None:
    cache = PackCache(str(tmp_path))
    with pytest.raises(NotFound):
        cache.read(DIGEST, 0, 1)
    with pytest.raises(NotFound):
        cache.open(DIGEST)
    (tmp_path / f"{HEX}.ranges").write_text("0 100\n")
    (tmp_path / HEX).write_bytes(PACK[:50])
    with pytest.raises(NotFound, match="damaged"):
        cache.read(DIGEST, 0, 100)


@pytest.mark.parametrize("digest", ["sha256:../x", "../x", ""])
def test_only_digests_name_packs(tmp_path: Path, digest: str) -> None:
    with pytest.raises(TransferError):
        PackCache(str(tmp_path)).write(digest, 0, b"x")
    assert list(tmp_path.iterdir()) == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    os.symlink("/etc/passwd", tmp_path / HEX)
    with pytest.raises(OSError):
        PackCache(str(tmp_path)).open(DIGEST)
