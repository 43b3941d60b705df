# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM's console had said before its QEMU process began, for a VM that goes on from a snapshot with memory.

A revert starts a new process, and with it an empty log; but the guest goes on from a moment at which it had said
all that it said before the snapshot. So that is kept with the snapshot, and counts as said since the start.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os

from .._files import remove, state_dir, write_bytes
from .._hypervisor.console import Console
from .._hypervisor.devices import log_of
from .._hypervisor.domain import Domain
from .vm_host import started


def keep_console(domain: Domain, snapshot: str, *, uri: str) -> None:
    """Keep with a snapshot just taken what the running VM's console said until now."""
    log = log_of(domain.xml(inactive=False))
    if log and domain.active:
        console = Console(log, since=started(uri, domain.name), past=past_console(domain, uri=uri))
        write_bytes(_kept(domain, snapshot), console.recent())


def go_on(domain: Domain, snapshot: str, *, uri: str) -> None:
    """Note that the VM's process goes on from the snapshot."""
    if domain.active:
        mark = {"started": started(uri, domain.name), "snapshot": snapshot}
        write_bytes(_mark(domain), json.dumps(mark).encode())


def past_console(domain: Domain, *, uri: str) -> bytes:
    """What had been said before the process of the VM began; nothing for one that booted."""
    with contextlib.suppress(FileNotFoundError, ValueError, KeyError, TypeError):
        with open(_mark(domain), "rb") as stream:
            mark = json.loads(stream.read(1 << 16))
        if mark["started"] == started(uri, domain.name):
            with open(_kept(domain, mark["snapshot"]), "rb") as stream:
                return stream.read()
    return b""


def forget_console(domain: Domain, snapshot: str = "") -> None:
    """Remove what was kept with a snapshot, or with all of the VM."""
    if snapshot:
        remove(_kept(domain, snapshot))
        return
    for path in glob.glob(os.path.join(state_dir("console"), f"{domain.uuid}*")):
        remove(path)


def _kept(domain: Domain, snapshot: str) -> str:
    name = hashlib.sha256(snapshot.encode()).hexdigest()[:16]
    return os.path.join(state_dir("console"), f"{domain.uuid}-{name}.log")


def _mark(domain: Domain) -> str:
    return os.path.join(state_dir("console"), f"{domain.uuid}.json")
