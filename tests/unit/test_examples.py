# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example in the documentation has options that its module takes. That those of the disk modules and of image_publish run is
shown by the integration target `examples`; examples with a URL or a registry leave the fleet, so these are all that is tested of them.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator

MODULES = sorted(path.stem for path in (Path(__file__).resolve().parents[2] / "plugins/modules").glob("*.py"))
PACKAGE = "ansible_collections.imageops.fleet.plugins.modules"


def examples() -> Iterator[Any]:
    for name in MODULES:
        for task in yaml.safe_load(importlib.import_module(f"{PACKAGE}.{name}").EXAMPLES):
            own = task.get(f"imageops.fleet.{name}")
            if own is not None:
                yield pytest.param(name, own, id=f"{name}: {task['name']}")


@pytest.fixture
def spec_of(monkeypatch: pytest.MonkeyPatch) -> Any:
    def find(name: str) -> Any:
        module = importlib.import_module(f"{PACKAGE}.{name}")
        given: list[Any] = []
        monkeypatch.setattr(module, "run_module", lambda spec, _operation: given.append(spec))
        module.main()
        return given[0]

    return find


@pytest.mark.parametrize(("name", "options"), list(examples()))
def test_example_has_options_of_its_module(name: str, options: dict[str, Any], spec_of: Any) -> None:
    spec = spec_of(name)
    validator = ModuleArgumentSpecValidator(spec.argument_spec, **spec.constraints)
    assert validator.validate(options).error_messages == []


def test_a_wrong_option_is_found(spec_of: Any) -> None:
    validator = ModuleArgumentSpecValidator(spec_of("disk").argument_spec)
    assert "siize" in validator.validate({"path": "/x", "siize": "1GiB"}).error_messages[0]
