# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The point at which a stopped VM stands: the snapshot its disks are equal to, kept with their fingerprints.

libvirt only knows from which snapshot a VM goes on ("current"), not whether it was written to since.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any

from .._files import fingerprint, remove, state_dir, write_bytes
from .._hypervisor.domain import Domain
from .._hypervisor.xml import canonical


def remember_point(domain: Domain, name: str) -> None:
    """Note that the VM is now just as the snapshot `name` holds it; only a stopped VM stays so."""
    if domain.active:
        remove(_path(domain))
        return
    write_bytes(_path(domain), json.dumps({"name": name, **_now(domain)}, sort_keys=True).encode())


def at_point(domain: Domain, name: str) -> bool:
    """Whether the stopped VM, disks and definition, is still as the snapshot `name` holds it."""
    return not domain.active and _load(domain) == {"name": name, **_now(domain)}


def _path(domain: Domain) -> str:
    return os.path.join(state_dir("snapshots"), f"{domain.uuid}.json")


def _load(domain: Domain) -> Any | None:
    try:
        with open(_path(domain), "rb") as stream:
            return json.loads(stream.read(1 << 20))
    except (FileNotFoundError, ValueError):
        return None


def _now(domain: Domain) -> dict[str, Any]:
    disks = [disk.path for disk in domain.disks(inactive=True) if disk.path and not disk.readonly]
    marks = {path: found.as_dict() for path, found in ((path, fingerprint(path)) for path in disks) if found}
    definition = hashlib.sha256(canonical(domain.xml()).encode()).hexdigest()
    return {"disks": marks, "definition": definition}
