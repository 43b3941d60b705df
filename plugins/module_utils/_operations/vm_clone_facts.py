# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a clone is: read from its definition, or told before it is made."""

from __future__ import annotations

import os
from typing import Any

from .._errors import Conflict
from .._formats.names import canonical_format
from .._hypervisor.domain import Domain
from .._hypervisor.firmware import firmware
from .._hypervisor.sources import Disk, disks_of
from .._hypervisor.xml import Element, get
from .usage import Layers
from .vm_clone_identity import interfaces, origin
from .vm_clone_seed import is_seed
from .vm_session import CONFIG, is_session, session_folder

NVRAM = "/var/lib/libvirt/qemu/nvram"


def found_facts(domain: Domain) -> dict[str, Any]:
    """What results show of a clone that is there."""
    root = domain.xml()
    disks = [disk for disk in disks_of(root) if disk.path]
    shared = {get(disk, "target/@dev") for disk in root.iterfind("devices/disk") if disk.find("shareable") is not None}
    seeds = [disk.path for disk in disks if disk.readonly and is_seed(disk.path)]
    return {
        "name": domain.name,
        "source": origin(root).get("source", ""),
        "mode": origin(root).get("mode", ""),
        "state": domain.state,
        "uuid": domain.uuid,
        "macs": [get(interface, "mac/@address") for interface in interfaces(root)],
        "disks": [_disk_facts(disk) for disk in disks if not disk.readonly and disk.target not in shared],
        "seed": seeds[0] if seeds else "",
    }


def _disk_facts(disk: Disk) -> dict[str, Any]:
    backing = Layers().below(disk.path)
    return {
        "target": disk.target,
        "path": disk.path,
        "format": canonical_format(disk.format or "raw"),
        "backing": backing,
    }


def require_own_clone(domain: Domain, *, source: str, source_uuid: str, mode: str) -> None:
    """Raise Conflict unless the VM is a clone of that source, made in that way."""
    made = origin(domain.xml())
    if not made or (made.get("source") != source and made.get("source_uuid") != source_uuid):
        was = f"is a clone of {made['source']}" if made else "was not cloned by this collection"
        raise Conflict(
            f"name: there is a VM called {domain.name} already, and it {was}, not a clone of {source}; give another "
            "name, or remove "
            f"that VM first."
        )
    if made.get("mode") != mode:
        raise Conflict(
            f"mode: {domain.name} is a {made.get('mode')} clone of {source} and stays one; give mode: "
            f"{made.get('mode')}, or remove "
            f"it first."
        )


def nvram_of(root: Element, uri: str) -> str:
    """The file with the UEFI variables, an empty string for a VM without.

    libvirt 9 does not write the path that it chose into the definition; it chooses the same one at each start.
    """
    told = get(root, "os/nvram/source/@file") or get(root, "os/nvram")
    if told or firmware(root) != "uefi":
        return told
    folder = session_folder(CONFIG, "nvram") if is_session(uri) else NVRAM
    return os.path.join(folder, f"{get(root, 'name')}_VARS.fd")
