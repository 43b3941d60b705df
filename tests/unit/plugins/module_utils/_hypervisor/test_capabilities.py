# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.capabilities import (
    CAPABILITIES,
    LIBVIRT,
    QMP,
    require,
)

ROOT = Path(__file__).resolve().parents[5]
OPERATIONS = "".join(
    path.read_text(encoding="utf-8") for path in (ROOT / "plugins/module_utils/_operations").glob("qmp_*.py")
)


@pytest.mark.parametrize("name", CAPABILITIES)
def test_what_an_engine_lacks_is_refused_with_the_way_out(name: str) -> None:
    found = CAPABILITIES[name]
    require(LIBVIRT, name, option="x")
    if found.qmp:
        require(QMP, name, option="x")
        return
    with pytest.raises(
        Unsupported, match=f"x: the engine qmp can't {re.escape(found.what)}; {re.escape(found.way_out)}"
    ):
        require(QMP, name, option="x")
    assert f'"{name}"' in OPERATIONS


@pytest.mark.parametrize("name", CAPABILITIES)
def test_the_guide_has_the_table(name: str) -> None:
    found = CAPABILITIES[name]
    lines = (ROOT / "docs/virtual-machines.md").read_text(encoding="utf-8").splitlines()
    assert f"| {found.what} | yes | {'yes' if found.qmp else 'no'} |" in lines
