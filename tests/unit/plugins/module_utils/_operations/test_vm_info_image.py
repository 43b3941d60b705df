# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_info_image import image_facts, source_of
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, write_record

DIGEST = f"sha256:{'a' * 64}"
STABLE = {"reference": "reg.example/debian:stable", "manifest": DIGEST, "disk": "disk"}
TOLD = {"reference": "reg.example/debian:stable", "digest": DIGEST, "disk": "disk"}
OTHER = {**STABLE, "reference": "mirror.example/debian:12"}


@pytest.fixture
def make(tmp_path: Path) -> Any:
    def make_file(name: str, source: dict[str, Any] | None = None) -> str:
        path = tmp_path / name
        path.write_bytes(b"x")
        if source is not None:
            write_record(str(path), Record("pull", "qcow2", 1, source))
        return str(path)

    return make_file


def disk(path: str, *below: str, made_from: str = "") -> dict[str, Any]:
    return {"path": path, "made_from": made_from, "chain": [path, *below]}


def test_the_disk_knows_by_which_name_its_image_was_asked_for(make: Any) -> None:
    base, top = make("base", OTHER), make("top", {"path": "/i/base", **STABLE})
    assert image_facts(disk(top, base, made_from=base)) == TOLD


def test_an_overlay_on_a_pulled_file(make: Any) -> None:
    base, top = make("base", STABLE), make("top", {"path": "/i/base"})
    assert image_facts(disk(top, base, made_from=base)) == TOLD


def test_a_full_copy_of_a_pulled_file(make: Any) -> None:
    base, copy = make("base", STABLE), make("copy", {"path": "/i/base"})
    assert image_facts(disk(copy, made_from=base)) == TOLD


def test_a_clone_and_a_pulled_file_itself(make: Any) -> None:
    base, middle, top = make("base", STABLE), make("middle"), make("top")
    assert image_facts(disk(top, middle, base)) == image_facts(disk(base)) == TOLD


def test_what_came_from_no_catalog(make: Any) -> None:
    base, top = make("base"), make("top", {"path": "/i/base"})
    assert image_facts(disk(top, base, "/gone", made_from=base)) == image_facts(disk("")) == {}
    assert (source_of(top), source_of(base), source_of("/gone"), source_of("")) == ({"path": "/i/base"}, {}, {}, {})
