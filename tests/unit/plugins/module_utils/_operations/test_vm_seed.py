# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_seed


@pytest.fixture(autouse=True)
def _builder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_seed, "require_builder", lambda: None)


@pytest.mark.parametrize("name", ["user_data", "meta_data", "network_config"])
@pytest.mark.parametrize("value", [5, ["a-secret"], True])
def test_neither_text_nor_dictionary(name: str, value: Any) -> None:
    with pytest.raises(InvalidOption, match=rf"cloud_init\.{name}: this is neither") as caught:
        vm_seed.seed_of("web", {name: value}, folder="/images")
    assert "a-secret" not in str(caught.value)


def test_what_is_left_out_has_a_default() -> None:
    files = vm_seed.seed_of("web", {"user_data": None}, folder="/images").files
    assert files["user-data"].startswith("#cloud-config")
    assert '"instance-id": "iid-web"' in files["meta-data"]


def test_nothing_is_left_of_a_seed_that_could_not_be_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(vm_seed, "build", lambda files: b"iso")
    monkeypatch.setattr(vm_seed, "publish_with_record", full)
    with pytest.raises(OSError, match="No space"):
        vm_seed.seed_of("web", {}, folder=str(tmp_path)).write(version="1")
    assert list(tmp_path.iterdir()) == []
