# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import inspect_chain
from ansible_collections.imageops.fleet.plugins.module_utils._formats.safety import refusals, verdict
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import create, patch


@pytest.fixture(name="layers")
def layers_fixture(tmp_path: Path) -> list[str]:
    """top over mid over base, their real paths."""
    create(tmp_path / "base.qcow2", "qcow2", "1M")
    create(tmp_path / "mid.qcow2", "qcow2", "", backing=str(tmp_path / "base.qcow2"))
    create(tmp_path / "top.qcow2", "qcow2", "", backing=str(tmp_path / "mid.qcow2"))
    return [str(tmp_path / f"{name}.qcow2") for name in ("top", "mid", "base")]


@pytest.mark.parametrize(
    ("allowed", "safe", "left"), [([], False, 2), ([1], False, 1), ([2], False, 1), ([1, 2], True, 0), ([0], False, 2)]
)
def test_every_file_below_must_be_declared(layers: list[str], allowed: list[int], safe: bool, left: int) -> None:
    judged = verdict(inspect_chain(layers[0]), allowed_backing=[layers[index] for index in allowed])
    assert (judged.safe, len(judged.refusals)) == (safe, left)


def test_links_to_a_declared_file_are_that_file(layers: list[str], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(layers[2])
    assert verdict(inspect_chain(layers[1]), allowed_backing=[str(tmp_path / "link")]).safe


def test_declaring_does_not_excuse_what_is_wrong_below(layers: list[str]) -> None:
    patch(Path(layers[2]), 72, ">Q", 2)
    assert [found.rule for found in refusals(inspect_chain(layers[0]), allowed_backing=layers)] == ["corrupt"]


def test_warnings_leave_an_image_safe(layers: list[str]) -> None:
    patch(Path(layers[2]), 72, ">Q", 1)
    judged = verdict(inspect_chain(layers[2]))
    assert (judged.safe, [found.rule for _path, found in judged.findings]) == (True, ["unclean"])


def test_a_missing_format_stays_unsafe_even_when_declared(layers: list[str]) -> None:
    top = Path(layers[1])
    top.write_bytes(top.read_bytes().replace(b"\xe2\x79\x2a\xca", b"\1\2\3\4", 1))
    assert [found.rule for found in refusals(inspect_chain(layers[1]), allowed_backing=layers)] == [
        "backing-format-missing"
    ]
