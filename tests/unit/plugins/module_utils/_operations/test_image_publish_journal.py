# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import time
from pathlib import Path

from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_journal import (
    PublishJournal,
    SentPack,
    publish_key,
    spool_folder,
    tidy_journals,
)

PACK = SentPack(f"sha256:{'1' * 64}", 1000, [(b"a" * 32, 0, 400), (b"b" * 32, 400, 600)])


def test_what_was_noted_is_found_again(state_dir: Path) -> None:
    journal = PublishJournal("dir:/x:1")
    assert list(journal.load()) == []
    journal.note(PACK)
    assert list(PublishJournal("dir:/x:1").load()) == [PACK]
    assert list(PublishJournal("dir:/x:2").load()) == []
    journal.forget()
    assert list(journal.load()) == []


def test_a_note_that_a_power_cut_took_is_none(state_dir: Path) -> None:
    journal = PublishJournal("dir:/x:1")
    journal.note(PACK)
    folder = state_dir / "publishes" / publish_key("dir:/x:1")
    (folder / ("2" * 64)).write_bytes(b"")
    (folder / ("3" * 64)).write_bytes(bytes(9))
    (folder / "other").write_bytes(bytes(48))
    assert list(journal.load()) == [PACK]


def test_what_nobody_goes_on_with_is_removed(state_dir: Path) -> None:
    PublishJournal("dir:/x:1").note(PACK)
    PublishJournal("dir:/x:2").note(PACK)
    folder = state_dir / "publishes"
    for name in ("old", "new"):
        (folder / f"{name}.json").write_text("{}")
    os.makedirs(spool_folder("dir:/x:1"))
    day = 86400
    for path, days in (
        (folder / publish_key("dir:/x:1"), 8),
        (Path(spool_folder("dir:/x:1")), 8),
        (folder / "old.json", 200),
        (folder / "new.json", 100),
    ):
        os.utime(path, (time.time() - days * day,) * 2)
    tidy_journals()
    assert sorted(os.listdir(folder)) == sorted([publish_key("dir:/x:2"), "new.json"])
