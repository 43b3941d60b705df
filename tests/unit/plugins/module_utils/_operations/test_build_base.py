# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_build_spec import IMAGE_BUILD
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_base import read_base
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_kinds import BuildBase
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools


def base(**given: Any) -> BuildBase:
    return read_base({"base": {**dict.fromkeys(IMAGE_BUILD.argument_spec["base"]["options"]), **given}}, Tools())


def test_a_query_is_in_what_the_job_asks_only(tmp_path: Path) -> None:
    (tmp_path / "keyring").touch()
    given = {
        "url": "https://a.example/x.qcow2?token=hidden",
        "checksum": "sha256:https://a.example/SUMS?token=hidden",
        "signature": "https://a.example/SUMS.gpg?token=hidden",
        "keyring": str(tmp_path / "keyring"),
    }
    found = base(**given)
    assert "hidden" not in repr((found.declared, found.source))
    assert found.source["url"] == "https://a.example/x.qcow2?..."
    assert found.source["checksum"] == "sha256:https://a.example/SUMS?..."
    assert found.told["url"] == given["url"]
    assert base(**{**given, "url": "https://a.example/x.qcow2?token=other"}).declared != found.declared
