# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of several folders share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, wraps
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import helper, launch


@pytest.fixture(scope="session", autouse=True)
def compiled_once() -> Iterator[None]:
    """Each kind of helper is compiled once, and not for the state directory of each test that starts a job."""
    made: dict[str, bytes] = {}
    zipapp = helper._zipapp

    @wraps(zipapp)
    def once(entry: str, texts: dict[str, str]) -> bytes:
        key = f"{entry} {hash(tuple(sorted(texts.items())))}"
        if key not in made:
            made[key] = zipapp(entry, texts)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(helper, "_zipapp", once)
        patch.setattr(helper, "sources", cache(helper.sources))
        yield


@pytest.fixture(autouse=True)
def pretended_vm_runs() -> Iterator[None]:
    """libvirt's pretended host lives as long as any connection to it, so what one test stops would be stopped for others."""
    yield
    libvirt = sys.modules.get("libvirt")
    if libvirt is None:
        return
    connection = libvirt.open("test:///default")
    with suppress(libvirt.libvirtError):
        domain = connection.lookupByName("test")
        if not domain.isActive():
            domain.create()
    connection.close()


@pytest.fixture
def state_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory of the test's own, in which jobs start without systemd."""
    path = tmp_path / "state"
    monkeypatch.setenv("IMAGEOPS_STATE_DIR", str(path))
    monkeypatch.setattr(launch, "launcher_here", lambda: launch.SESSION)
    return path
