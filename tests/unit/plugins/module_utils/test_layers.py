# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

PLUGINS = Path(__file__).resolve().parents[4] / "plugins"
ROOT = PLUGINS / "module_utils"
PACKAGE = "ansible_collections.imageops.fleet.plugins.module_utils"

GROUND = frozenset(
    {"_errors", "_sizes", "_plan", "_commands", "_files", "_libraries", "_locks", "_packages", "_records", "_faults"}
)
# From the ground up; a room imports only rooms of a lower level, or itself.
LEVELS = (
    frozenset({"ground"}),
    frozenset({"_formats", "_catalog", "_jobs", "_portable", "_qmp", "_transfer"}),
    frozenset({"_qemu", "_registry", "_hypervisor"}),
    frozenset({"_operations"}),
    frozenset({"_ansible"}),
)
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# Libraries that only one file may know, and the room where that file stands.
GUARDED = {
    "libvirt": "_hypervisor",
    "libvirt_qemu": "_hypervisor",
    "qemu": "_qmp",
    "nbd": "_transfer",
    "zstandard": "_transfer",
    "isal": "_formats",
}
UTILS = sorted(path for path in ROOT.rglob("*.py") if path.name != "__init__.py")
MODULES = sorted(path for path in (PLUGINS / "modules").glob("*.py"))


def dotted(path: Path) -> list[str]:
    return [*PACKAGE.split("."), *path.relative_to(ROOT).with_suffix("").parts]


def nodes_of(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_bytes()))


def imported_by(path: Path, package: list[str]) -> Iterator[str]:
    """Every imported name in full, `from X import Y` as X.Y, relative imports resolved."""
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            yield from (".".join([*base, *(node.module or "").split("."), alias.name]) for alias in node.names)


@cache
def imports_of(path: Path) -> list[str]:
    return [name.replace("..", ".") for name in imported_by(path, dotted(path)[:-1])]


def wrong(paths: Iterable[Path], found: Callable[[Path], object]) -> dict[str, object]:
    """What is wrong with which of the files."""
    return {path.relative_to(PLUGINS).as_posix(): said for path in paths if (said := found(path))}


def room_of(name: str) -> str:
    first = name[len(PACKAGE) + 1 :].split(".")[0]
    return "ground" if first in GROUND else first


def test_the_walker_resolves_every_kind_of_import(tmp_path: Path) -> None:
    source = tmp_path / "x.py"
    source.write_text("import a.b\nfrom c import d\ndef f():\n    from ..e import g\n    from . import h\n")
    assert list(imported_by(source, ["p", "q"])) == ["a.b", "c.d", "p.e.g", "p.q..h"]


def test_every_room_has_a_level() -> None:
    assert {room_of(".".join(dotted(path))) for path in UTILS} <= set(LEVEL)


def test_imports_point_downwards() -> None:
    def upwards(path: Path) -> set[str]:
        own = room_of(".".join(dotted(path)))
        seen = {room_of(name) for name in imports_of(path) if name.startswith(PACKAGE + ".")}
        return {room for room in seen if room != own and LEVEL[room] >= LEVEL[own]}

    assert len(UTILS) > 100
    assert not wrong(UTILS, upwards)


def test_only_the_top_room_knows_ansible() -> None:
    def known(path: Path) -> set[str]:
        return {name for name in imports_of(path) if name.split(".")[0] == "ansible"}

    assert not wrong((path for path in UTILS if room_of(".".join(dotted(path))) != "_ansible"), known)


def test_nothing_is_imported_that_a_host_may_lack() -> None:
    allowed = {*sys.stdlib_module_names, "ansible", "ansible_collections", "pycdlib", *GUARDED}
    assert not wrong(UTILS, lambda path: {name.split(".")[0] for name in imports_of(path)} - allowed)


@pytest.mark.parametrize("library", GUARDED)
def test_one_file_knows_each_guarded_library(library: str) -> None:
    knowing = [path for path in UTILS if any(name.split(".")[0] == library for name in imports_of(path))]
    assert len(knowing) <= 1
    assert all(room_of(".".join(dotted(path))) == GUARDED[library] for path in knowing)


def test_nothing_is_imported_by_name_at_run_time() -> None:
    """AnsiballZ ships what the AST imports; a name built at run time would be missing on the host."""

    def by_name(path: Path) -> set[str]:
        called = (node.func for node in nodes_of(path) if isinstance(node, ast.Call))
        return {getattr(one, "id", getattr(one, "attr", "")) for one in called} & {"import_module", "__import__"}

    assert not wrong([*UTILS, *MODULES], by_name)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_picks_a_spec_and_one_operation(path: Path) -> None:
    names = [name for name in imported_by(path, []) if name.startswith("ansible_collections.")]
    assert all(name.startswith(PACKAGE + ".") for name in names)
    assert {room_of(name) for name in names} == {"_ansible", "_operations"}
    assert len({name.split(".")[6] for name in names if room_of(name) == "_operations"}) == 1


def test_packages_re_export_nothing() -> None:
    assert not wrong(ROOT.rglob("__init__.py"), Path.read_bytes)
