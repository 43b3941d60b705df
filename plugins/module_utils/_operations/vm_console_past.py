# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM's console had said before its QEMU process began, for a VM that goes on from a snapshot with memory.

A revert starts a new process, and with it an empty log; but the guest goes on from a moment at which it had said
all that it said before the snapshot. So that is kept with the snapshot, and counts as said since the start. When the snapshot
is deleted while the VM goes on from it, the VM itself keeps that.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
from typing import Any

from .._files import remove, state_dir, write_bytes
from .._hypervisor.console import Console
from .._hypervisor.devices import log_of
from .._hypervisor.domain import Domain
from .vm_host import started

# The VM's own; no snapshot has an empty name.
_OWN = ""


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
    mark = _read_mark(domain)
    if not mark or mark["started"] != started(uri, domain.name):
        return b""
    return _read_kept(domain, mark["snapshot"])


def _read_mark(domain: Domain) -> dict[str, Any]:
    """What `go_on` noted last; nothing when there is nothing that can be read."""
    try:
        with open(_mark(domain), "rb") as stream:
            found = json.loads(stream.read(1 << 16))
    except (FileNotFoundError, ValueError):
        return {}
    return found if isinstance(found, dict) and {"started", "snapshot"} <= found.keys() else {}


def _read_kept(domain: Domain, snapshot: str) -> bytes:
    try:
        with open(_kept(domain, snapshot), "rb") as stream:
            return stream.read()
    except FileNotFoundError:
        return b""


def _hand_on(domain: Domain, snapshot: str) -> None:
    """Let the VM keep what it goes on from, before that goes with its snapshot."""
    mark = _read_mark(domain)
    if domain.active and mark and mark["snapshot"] == snapshot:
        write_bytes(_kept(domain, _OWN), _read_kept(domain, snapshot))
        write_bytes(_mark(domain), json.dumps({**mark, "snapshot": _OWN}).encode())


def forget_console(domain: Domain, snapshot: str = "") -> None:
    """Remove what was kept with a snapshot, or with all of the VM; what the VM goes on from is kept as its own."""
    if snapshot:
        _hand_on(domain, snapshot)
        remove(_kept(domain, snapshot))
        return
    for path in glob.glob(os.path.join(state_dir("console"), f"{domain.uuid}*")):
        remove(path)


def _kept(domain: Domain, snapshot: str) -> str:
    name = hashlib.sha256(snapshot.encode()).hexdigest()[:16]
    return os.path.join(state_dir("console"), f"{domain.uuid}-{name}.log")


def _mark(domain: Domain) -> str:
    return os.path.join(state_dir("console"), f"{domain.uuid}.json")
