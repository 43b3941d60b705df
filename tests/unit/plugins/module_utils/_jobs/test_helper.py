# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ast
import inspect
import os
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import helper
from ansible_collections.imageops.fleet.plugins.module_utils._operations import convert_job

ENTRY = convert_job.__name__
PACKAGE = ENTRY.rsplit("._operations", 1)[0]
ROOT = Path(__file__).resolve().parents[5] / "plugins" / "module_utils"


def imported(path: Path) -> set[str]:
    """Modules that the file imports relatively, found from its syntax tree."""
    own = [PACKAGE, *path.relative_to(ROOT).parent.parts]
    found = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = ".".join([*own[: len(own) - node.level + 1], *filter(None, [node.module])])
            folder = ROOT.joinpath(*base[len(PACKAGE) :].split(".")[1:])
            found |= {f"{base}.{alias.name}" for alias in node.names} if folder.is_dir() else {base}
    return found


def test_every_relative_import_is_found_in_the_text() -> None:
    paths = [path for path in ROOT.rglob("*.py") if path.name != "__init__.py"]
    assert len(paths) > 100
    for path in paths:
        name = ".".join([PACKAGE, *path.relative_to(ROOT).with_suffix("").parts])
        assert set(helper._imports(name, path.read_text(encoding="utf-8"))) == imported(path), path


def test_the_helper_is_whole_and_written_once(state_dir: Path) -> None:
    path = helper.helper_program(ENTRY)
    assert os.path.dirname(path) == str(state_dir / "helper")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    before = os.stat(path).st_ino
    assert helper.helper_program(ENTRY) == path
    assert os.stat(path).st_ino == before
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    assert "__main__.py" in names
    assert {f"{name.replace('.', '/')}.py" for name in helper.sources(ENTRY)} <= set(names)
    assert not [name for name in names if "_ansible/" in name]


def test_its_compiled_code_is_whole(state_dir: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(helper.helper_program(ENTRY)) as whole, zipfile.ZipFile(tmp_path / "x.pyz", "w") as bare:
        for name in whole.namelist():
            if name.endswith(".pyc"):
                bare.writestr(name, whole.read(name))
    done = subprocess.run(
        [sys.executable, "-I", tmp_path / "x.pyz", tmp_path / "none"], capture_output=True, text=True, check=False
    )
    assert "no request in" in done.stderr


def test_equal_sources_give_equal_bytes() -> None:
    texts, zipapp = helper.sources(ENTRY), inspect.unwrap(helper._zipapp)
    assert zipapp(ENTRY, texts) == zipapp(ENTRY, dict(reversed(texts.items())))


def test_what_has_no_source_is_told() -> None:
    with pytest.raises(ImageOpsError, match="source of .*none can't be read"):
        helper.sources(f"{PACKAGE}.none")
