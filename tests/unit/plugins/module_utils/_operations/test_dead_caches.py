# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import dead_caches
from ansible_collections.imageops.fleet.plugins.module_utils._registry.pack_cache import PackCache

DIGEST = f"sha256:{'1' * 64}"


@pytest.mark.parametrize("lives", [False, True])
def test_a_cache_goes_unless_its_server_works(state_dir: Path, monkeypatch: pytest.MonkeyPatch, lives: bool) -> None:
    PackCache(str(state_dir / "packs" / "7070")).write(DIGEST, 0, b"frames")
    monkeypatch.setattr(dead_caches, "read_state", lambda identifier: identifier)
    monkeypatch.setattr(dead_caches, "works", lambda state, clock: lives)
    dead_caches.remove_dead_caches(Clock())
    assert (state_dir / "packs" / "7070").exists() is lives


def test_a_cache_of_which_no_job_is_known_goes(state_dir: Path) -> None:
    dead_caches.remove_dead_caches(Clock())
    PackCache(str(state_dir / "packs" / "7070")).write(DIGEST, 0, b"frames")
    dead_caches.remove_dead_caches(Clock())
    assert list((state_dir / "packs").iterdir()) == []
