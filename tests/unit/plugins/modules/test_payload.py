# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible sends to a host for each module: it must stay small, since it is sent for each task."""

from __future__ import annotations

import base64
import io
import re
import zipfile
from pathlib import Path

import pytest
from ansible.executor import module_common
from ansible.module_utils.common.text.converters import to_text
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader, module_loader
from ansible.template import Templar

MODULES = sorted(path.stem for path in (Path(__file__).resolve().parents[4] / "plugins" / "modules").glob("*.py"))
_ZIPDATA = re.compile(r"[\"'](?P<data>[A-Za-z0-9+/=\n]{1000,})[\"']")
_MOST_BYTES = 300 << 10


def payload(name: str) -> bytes:
    """The zip that AnsiballZ would send for a module."""
    path = module_loader.find_plugin(name)
    assert path, f"{name} is not found"
    loader = DataLoader()
    built = module_common.modify_module(
        module_name=name,
        module_path=path,
        module_args={},
        templar=Templar(loader=loader),
        task_vars={"ansible_python_interpreter": "/usr/bin/python3"},
        module_compression="ZIP_DEFLATED",
    )
    script = to_text(built.b_module_data)
    found = _ZIPDATA.search(script)
    assert found, "the payload was not found in Ansible's wrapper"
    return base64.b64decode(found["data"])


@pytest.fixture(scope="module", autouse=True)
def loader() -> None:
    init_plugin_loader([])


@pytest.mark.parametrize("name", MODULES)
def test_payload_is_small_and_whole(name: str) -> None:
    data = payload(f"imageops.fleet.{name}")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        ours = [entry for entry in archive.namelist() if "imageops/fleet/plugins/module_utils" in entry]
        assert archive.testzip() is None
    print(f"{name}: {len(data)} bytes, {len(ours)} files of ours")
    assert any(entry.endswith("_ansible/run.py") for entry in ours)
    assert len(data) < _MOST_BYTES
