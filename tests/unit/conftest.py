# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of several folders share."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import launch


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own, in which jobs start without systemd."""
    path = tmp_path / "state"
    monkeypatch.setenv("IMAGEOPS_STATE_DIR", str(path))
    monkeypatch.setattr(launch, "launcher_here", lambda: launch.SESSION)
    return path
