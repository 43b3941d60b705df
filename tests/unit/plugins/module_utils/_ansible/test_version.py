# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path

import yaml
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.version import VERSION


def test_it_is_the_collections_version() -> None:
    galaxy = Path(__file__).resolve().parents[5] / "galaxy.yml"
    assert yaml.safe_load(galaxy.read_text(encoding="utf-8"))["version"] == VERSION
