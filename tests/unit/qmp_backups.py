# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A pretended VM (qmp_pretender) whose disks are read through a backup."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import qmp_socket
from ansible_collections.imageops.fleet.plugins.module_utils._operations import pull_process, pull_reader
from ansible_collections.imageops.fleet.plugins.module_utils._qmp import client
from ansible_collections.imageops.fleet.tests.unit.qmp_pretender import LIBRARY, Export, Machine


def pretend_backups(monkeypatch: pytest.MonkeyPatch) -> None:
    """Talk with pretended VMs, and read the exports that they don't serve."""
    monkeypatch.setattr(client, "library", lambda: LIBRARY)
    monkeypatch.setattr(qmp_socket, "library", lambda: LIBRARY)
    monkeypatch.setattr(pull_process, "library", lambda: None)
    monkeypatch.setattr(pull_reader, "NbdClient", lambda *_all, **_more: Export())


@contextlib.contextmanager
def machine_with_two_disks(folder: Path) -> Iterator[Machine]:
    """A VM with the disks vda and vdb in `folder`; it ends, and its NBD server too."""
    disks = {name: [folder / f"{name}.qcow2"] for name in ("vda", "vdb")}
    for (path,) in disks.values():
        path.write_bytes(b"")
    found = Machine(folder / "s", disks)
    try:
        yield found
    finally:
        if found.server:
            found.server.close()
        found.end()
