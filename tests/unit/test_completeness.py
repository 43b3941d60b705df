# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible_collections.imageops.fleet.plugins.module_utils._formats.rules import RULES

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted(path.stem for path in (ROOT / "plugins/modules").glob("*.py"))
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir())
PLAYBOOKS = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
ATTRIBUTES = {"check_mode", "diff_mode", "idempotent", "platform", "action_group"}


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def blocks_of(module: str) -> dict[str, str]:
    """The string constants at the top of a module: DOCUMENTATION, EXAMPLES, RETURN."""
    tree = ast.parse((ROOT / "plugins/modules" / f"{module}.py").read_bytes())
    assigned = [node for node in tree.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)]
    return {
        target.id: str(node.value.value) for node in assigned for target in node.targets if isinstance(target, ast.Name)
    }


def attributes_of(module: str) -> set[str]:
    """Attributes that the module states itself or takes from the collection's fragments."""
    documentation = yaml.safe_load(blocks_of(module)["DOCUMENTATION"])
    named = documentation.get("extends_documentation_fragment", [])
    found = set(documentation.get("attributes", {}))
    for fragment in [named] if isinstance(named, str) else named:
        file, _dot, section = fragment.removeprefix("imageops.fleet.").partition(".")
        found |= set(fragment_section(file, section or "DOCUMENTATION").get("attributes", {}))
    return found


def fragment_section(file: str, section: str) -> dict[str, Any]:
    fragment = importlib.import_module(f"ansible_collections.imageops.fleet.plugins.doc_fragments.{file}")
    return dict(yaml.safe_load(getattr(fragment.ModuleDocFragment, section.upper())))


def operation_of(module: str) -> str:
    source = (ROOT / "plugins/modules" / f"{module}.py").read_text(encoding="utf-8")
    found = re.search(r"module_utils\._operations(?:\.(\w+))? import (\w+)", source)
    assert found, f"{module} imports no operation"
    return found.group(1) or found.group(2)


@pytest.mark.parametrize("module", MODULES)
def test_module_is_documented(module: str) -> None:
    blocks = blocks_of(module)
    assert yaml.safe_load(blocks["DOCUMENTATION"])["module"] == module
    assert f"imageops.fleet.{module}:" in blocks["EXAMPLES"]
    assert yaml.safe_load(blocks["RETURN"])


@pytest.mark.parametrize("module", MODULES)
def test_module_states_its_attributes(module: str) -> None:
    assert attributes_of(module) >= ATTRIBUTES


@pytest.mark.parametrize("module", MODULES)
def test_module_has_a_unit_test(module: str) -> None:
    operations = ROOT / "tests/unit/plugins/module_utils/_operations"
    own = ROOT / "tests/unit/plugins/modules" / f"test_{module}.py"
    assert own.exists() or (operations / f"test_{operation_of(module).lstrip('_')}.py").exists()


@pytest.mark.parametrize("module", MODULES)
def test_module_has_an_integration_target(module: str) -> None:
    tasks = ROOT / "tests/integration/targets" / module / "tasks"
    used = "".join(path.read_text(encoding="utf-8") for path in sorted(tasks.glob("*.yml")))
    assert f"imageops.fleet.{module}:" in used


def test_action_group_names_every_module() -> None:
    assert load("meta/runtime.yml")["action_groups"]["fleet"] == MODULES


@pytest.mark.parametrize("module", MODULES)
def test_readme_lists_module(module: str) -> None:
    assert f"`imageops.fleet.{module}`" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("role", ROLES)
def test_role_describes_its_variables(role: str) -> None:
    options = load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    defaults = load(f"roles/{role}/defaults/main.yml")
    assert {name: option["default"] for name, option in options.items() if "default" in option} == defaults
    assert all(name.startswith(f"{role}_") for name in options)
    readme = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    assert not [name for name in options if f"`{name}`" not in readme]


@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_playbook_is_documented(playbook: str) -> None:
    """The head names every variable that the playbook reads, and an example vars file sets some of them."""
    text = (ROOT / "playbooks" / f"{playbook}.yml").read_text(encoding="utf-8")
    head = text.partition("\n---\n")[0]
    example = load(f"playbooks/vars/{playbook}.yml")
    assert example
    assert not [name for name in example if not re.search(rf"^#   {name}\b", head, re.MULTILINE)]
    assert "target_hosts | default('hypervisors')" in text
    assert f"`imageops.fleet.{playbook}`" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", RULES)
def test_safety_rule_is_documented(rule: str) -> None:
    severity, reason = RULES[rule]
    assert f"| `{rule}` | {severity} | {reason} |\n" in (ROOT / "docs/image-safety.md").read_text(encoding="utf-8")
