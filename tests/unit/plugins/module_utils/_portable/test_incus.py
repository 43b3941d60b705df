# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
import yaml
from ansible_collections.imageops.fleet.plugins.module_utils._portable import incus
from ansible_collections.imageops.fleet.plugins.module_utils._portable.machine import Machine


@pytest.mark.parametrize(
    "text", ["plain", 'quo"te\\', "Käse", "rocket \U0001f680", "de\x7fl\x85", "tab\there", "- a: {b}", "yes"]
)
def test_texts_are_what_they_were(text: str) -> None:
    """Characters beyond 16 bits and controls too: JSON's way to escape them is no sound YAML."""
    data = incus.metadata(Machine(text, description=text), created=1)
    assert data.isascii()
    assert yaml.safe_load(data)["properties"]["name"] == text
    assert b"\\ud8" not in data.lower()


def test_what_is_no_character() -> None:
    assert yaml.safe_load(incus.metadata(Machine("x\ud800"), created=1))["properties"]["name"] == "x?"
