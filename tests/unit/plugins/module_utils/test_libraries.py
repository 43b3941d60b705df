# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _packages
from ansible_collections.imageops.fleet.plugins.module_utils._libraries import (
    LIBRARY_DIR,
    missing_library,
    use_own_libraries,
)


def test_own_libraries_come_last_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/first"])
    use_own_libraries()
    use_own_libraries()
    assert sys.path == ["/first", LIBRARY_DIR]


@pytest.mark.parametrize(
    ("option", "begin"), [("", "The Python library nbd "), ("src", "src: the Python library nbd ")]
)
def test_a_missing_library_is_one_sentence_with_its_package(
    monkeypatch: pytest.MonkeyPatch, option: str, begin: str
) -> None:
    monkeypatch.setattr(_packages, "OS_RELEASE", ())
    said = str(missing_library("nbd", "or do without", option=option))
    assert said.startswith(begin)
    assert said.endswith("; install the package python3-libnbd, or do without.")
