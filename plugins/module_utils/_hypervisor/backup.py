# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt's backup jobs in pull mode: QEMU shows disks of a running VM as they were at one moment, over a Unix socket."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
from collections.abc import Mapping

from .._errors import NotFound
from .domain import Domain
from .library import calling, library
from .process_facts import owner_of
from .xml import Element, get, parse, put, serialise

# Where libvirt keeps the number of a VM's process.
_PID_FILE = "/run/libvirt/qemu/{name}.pid"
_DAC = "seclabel[@model='dac']"


def begin_pull(domain: Domain, *, socket: str, scratch: Mapping[str, str]) -> None:
    """Begin to show the disks in `scratch` on `socket`, each as an export named like its target.

    `scratch` has for each target an empty qcow2 file of the disk's size, which gets what the guest overwrites meanwhile. All
    disks are shown as they were at the same moment.
    """
    root = Element("domainbackup", {"mode": "pull"})
    put(root, "server/@transport", "unix")
    put(root, "server/@socket", socket)
    for target, path in scratch.items():
        disk = f"disks/disk[@name='{target}']"
        for name, value in (("backup", "yes"), ("type", "file"), ("exportname", target)):
            put(root, f"{disk}/@{name}", value)
        put(root, f"{disk}/driver/@type", "qcow2")
        put(root, f"{disk}/scratch/@file", path)
    with calling(f"beginning a backup of {domain.name}"):
        # With files that are there already it only takes a tenth of the time.
        domain.raw.backupBegin(serialise(root), None, library().VIR_DOMAIN_BACKUP_BEGIN_REUSE_EXTERNAL)


def backup_socket(domain: Domain) -> str | None:
    """The socket of the backup that is under way, an empty string for one of another kind, None when there is none."""
    try:
        with calling(f"asking for backups of {domain.name}"):
            return get(parse(domain.raw.backupGetXMLDesc(0)), "server/@socket")
    except NotFound:
        return None


def end_backup(domain: Domain) -> None:
    """Ask for the end of the backup that is under way; it is over as soon as `backup_socket` knows none."""
    with calling(f"ending the backup of {domain.name}"):
        domain.raw.abortJob()


def process_owner(domain: Domain) -> tuple[int, int]:
    """User and group that the VM's process runs as: what it shall write must be theirs."""
    root = domain.xml(inactive=False)
    label = get(root, f"{_DAC}/imagelabel") or get(root, f"{_DAC}/label")
    with contextlib.suppress(ValueError, KeyError):
        user, group = label.split(":")
        return _number(user, user=True), _number(group, user=False)
    return _owner_of_process(domain.name)


def _number(name: str, *, user: bool) -> int:
    """A label's user or group: a number behind a plus sign, or a name."""
    if name.lstrip("+").isdigit():
        return int(name.lstrip("+"))
    return pwd.getpwnam(name).pw_uid if user else grp.getgrnam(name).gr_gid


def _owner_of_process(name: str) -> tuple[int, int]:
    """By the number that libvirt keeps; ourselves when it can't be told, as with a daemon of our own."""
    try:
        with open(_PID_FILE.format(name=name), encoding="ascii") as stream:
            pid = int(stream.read())
    except (OSError, ValueError):
        return owner_of(os.getpid())
    return owner_of(pid)
