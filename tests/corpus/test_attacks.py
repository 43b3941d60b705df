# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every attack is refused, by the rule that stands for it, before an engine starts, and what it asks for is never shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_convert import plan_convert
from ansible_collections.imageops.fleet.plugins.module_utils._operations.inspection import inspect
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.tests.corpus.catalogue import Attack
from ansible_collections.imageops.fleet.tests.corpus.images import ATTACKS
from ansible_collections.imageops.fleet.tests.corpus.opinions import ours
from ansible_collections.imageops.fleet.tests.corpus.shop import CANARY, Shop
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

each_attack = pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)


def no_engine(argv: Any, **options: Any) -> Any:
    """The runner of a host on which nothing may start."""
    raise AssertionError(f"an engine was started: {argv}")


@each_attack
def test_it_is_refused_by_its_rule(attack: Attack, shop: Shop) -> None:
    found = ours(shop.build(attack.name, attack.make), attack.declared)
    assert not found.accepted
    assert attack.rule in found.reasons, f"{attack.hole}: {found.reasons}"


@each_attack
def test_an_inspection_refuses_it(attack: Attack, shop: Shop) -> None:
    path = shop.build(attack.name, attack.make)
    with pytest.raises(ImageOpsError) as error:
        inspect(str(path), declared=attack.declared)
    assert CANARY not in str(error.value) + json.dumps(error.value.details, default=str)


@each_attack
def test_a_conversion_starts_no_engine(
    attack: Attack, shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither by the planner's runner nor past it."""
    path = shop.build(attack.name, attack.make)
    monkeypatch.setattr("subprocess.Popen", no_engine)
    with pytest.raises(ImageOpsError):
        plan_convert(
            params_of(path, tmp_path / "new", src_format=attack.declared, format="raw"),
            Tools(commands=Commands(no_engine)),
        )
    assert list(tmp_path.iterdir()) == []


@each_attack
def test_the_result_shows_nothing_of_other_files(attack: Attack, shop: Shop) -> None:
    path = shop.build(attack.name, attack.make)
    if path.is_dir():
        return
    for declared in (None, attack.declared):
        options = {"path": str(path), "format": declared}
        result = run_module("disk_info", {key: value for key, value in options.items() if value})
        assert CANARY not in json.dumps(result)
        assert "Traceback" not in json.dumps(result)
        # What is raw to nobody but its maker is refused only where that was declared.
        if declared and "disks" in result:
            assert not any(disk.get("safe") for disk in result["disks"])


def test_there_are_enough_of_all_kinds() -> None:
    kinds = {attack.name.split("-")[0] for attack in ATTACKS}
    assert kinds >= {"qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed", "luks", "iso", "raw"}
    assert len(ATTACKS) >= 70
