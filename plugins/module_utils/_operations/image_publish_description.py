# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM's description as an image keeps it: what the machine is, without what belongs to the host that it is on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._hypervisor.xml import Element, clone, drop, get, serialise
from .vm_labels import OURS, labels_of, set_labels

# The machine's own identity, and where this host keeps things. What a machine is connected to stays as a proposal.
_DROPPED = (
    "uuid",
    "@id",
    "seclabel",
    "resource",
    "genid",
    "sysinfo/system/entry[@name='uuid']",
    "os/nvram",
    "os/loader",
    "os/kernel",
    "os/initrd",
    "devices/emulator",
    "devices/hostdev",
    "devices/serial/source",
    "devices/serial/log",
    "devices/console/source",
    "devices/console/log",
    "devices/channel/source",
    "devices/disk/backingStore",
    "devices/disk/source",
    "devices/disk/serial",
    "devices/interface/target",
    "devices/tpm/backend/source",
)


def description_of(root: Element, targets: Sequence[str]) -> dict[str, Any]:
    """What an image tells of the VM; of its disks `targets` are in the image under these names.

    `macs` are the addresses of its interfaces, a proposal where the VM moves, and to be left out where it is copied.
    """
    plain = clone(root)
    labels = labels_of(plain)
    for path in _DROPPED:
        drop(plain, path)
    drop(plain, OURS)
    set_labels(plain, labels)
    macs = [get(interface, "mac/@address") for interface in plain.iterfind("devices/interface")]
    firmware = "efi" if get(root, "os/@firmware") == "efi" or root.find("os/nvram") is not None else "bios"
    return {
        "name": get(plain, "name"),
        "xml": serialise(plain),
        "disks": list(targets),
        "macs": macs,
        "firmware": firmware,
        "tpm": root.find("devices/tpm") is not None,
    }
