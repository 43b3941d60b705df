# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""External snapshots as libvirt keeps them: taken with overlays of ours, described anew, forgotten, their memory restored.

An external snapshot is the layer that a disk had when it was taken (`Snapshot.layers`); what was written since lies in an
overlay. libvirt can take them in every version, and revert and delete them since 9.9 only; so here libvirt only takes them,
and keeps what is known of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable

from .._errors import ImageOpsError, Unsupported
from .connection import Connection
from .domain import Domain
from .library import calling, library
from .xml import Element, drop, get, parse, put, serialise

# A libvirt that was killed while it gave QEMU a file forgets that it took the next number of a node for it. Each try takes the next.
_NAME_TAKEN, _MOST_TRIES = "Duplicate nodes with node-name", 4


def external_call(
    domain: Domain, name: str, *, description: str, overlays: Mapping[str, str], memory: str
) -> Callable[[], None]:
    """The call that lets the disks named by `overlays` go on in those files, all at one moment.

    `memory` is the file that gets it, or empty; a guest that runs goes on while it is written. All that can be asked before the
    call is asked here, since a guest may be frozen for it.
    """
    found = library()
    root = Element("domainsnapshot")
    put(root, "name", name)
    if description:
        put(root, "description", description)
    put(root, "memory/@snapshot", "external" if memory else "no")
    if memory:
        put(root, "memory/@file", memory)
    for disk in domain.disks(inactive=not domain.active):
        _add_disk(root, disk.target, overlays.get(disk.target, ""))
    flags = found.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
    if domain.active:
        flags |= found.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
    if not memory:
        flags |= found.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
    elif domain.state == "running":
        flags |= found.VIR_DOMAIN_SNAPSHOT_CREATE_LIVE
    text = serialise(root)

    def create() -> None:
        for left in reversed(range(_MOST_TRIES)):
            try:
                with calling(f"taking the snapshot {name} of {domain.name}"):
                    domain.raw.snapshotCreateXML(text, flags)
            except ImageOpsError as error:
                if _NAME_TAKEN not in str(error) or not left:
                    raise
            else:
                return

    return create


def _add_disk(root: Element, target: str, overlay: str) -> None:
    place = f"disks/disk[@name='{target}']"
    put(root, f"{place}/@snapshot", "external" if overlay else "no")
    if overlay:
        put(root, f"{place}/driver/@type", "qcow2")
        put(root, f"{place}/source/@file", overlay)


def settle(domain: Domain) -> None:
    """Wait until libvirt has ended what it does with the VM for a caller that is gone; raises TimedOut after half a minute.

    To set a title, here the one that there is, libvirt waits for the end of all else that changes the VM.
    """
    found = library()
    title = get(domain.xml(), "title") or None
    with calling(f"ending what it does with {domain.name}"):
        domain.raw.setMetadata(found.VIR_DOMAIN_METADATA_TITLE, title, None, None, found.VIR_DOMAIN_AFFECT_CONFIG)


def described(domain: Domain, name: str) -> Element:
    """What libvirt keeps of the snapshot, with passwords, so that it can be given back."""
    with calling(f"describing the snapshot {name} of {domain.name}"):
        raw = domain.raw.snapshotLookupByName(name, 0)
        return parse(raw.getXMLDesc(library().VIR_DOMAIN_SNAPSHOT_XML_SECURE))


def describe_anew(domain: Domain, root: Element, *, current: bool) -> None:
    """Let libvirt keep `root` instead of what it knew of this snapshot; `current` also lets the VM go on from it."""
    found = library()
    flags = found.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
    if current:
        flags |= found.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
    with calling(f"noting the snapshot {get(root, 'name')} of {domain.name}"):
        domain.raw.snapshotCreateXML(serialise(root), flags)


def note_snapshot(
    domain: Domain,
    name: str,
    *,
    description: str,
    layers: Mapping[str, tuple[str, str]],
    overlays: Mapping[str, str],
    parent: str,
    created: int,
    memory: str = "",
    state: str = "",
) -> None:
    """Let libvirt know of a snapshot that is there already: `layers` (path and format by target) below `overlays`.

    `memory` is the file that holds the VM's memory, if any, and `state` what the VM did then.
    """
    then = domain.xml(secure=True)
    rest_on(then, layers)
    root = Element("domainsnapshot")
    put(root, "name", name)
    if description:
        put(root, "description", description)
    if parent:
        put(root, "parent/name", parent)
    put(root, "state", state if memory else "disk-snapshot" if domain.active else "shutoff")
    put(root, "creationTime", str(created))
    put(root, "memory/@snapshot", "external" if memory else "no")
    if memory:
        put(root, "memory/@file", memory)
    for disk in domain.disks(inactive=True):
        _add_disk(root, disk.target, overlays.get(disk.target, "") if disk.target in layers else "")
    root.append(then)
    describe_anew(domain, root, current=True)


def forget_snapshot(domain: Domain, name: str) -> None:
    """Let libvirt forget the snapshot; no file is touched, and its children become those of its parent."""
    with calling(f"forgetting the snapshot {name} of {domain.name}"):
        domain.raw.snapshotLookupByName(name, 0).delete(library().VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY)


def restore_memory(connection: Connection, path: str, root: Element, *, paused: bool) -> None:
    """Start the VM from the memory in `path` with the description `root`."""
    found = library()
    flags = found.VIR_DOMAIN_SAVE_PAUSED if paused else found.VIR_DOMAIN_SAVE_RUNNING
    with calling(f"restoring {get(root, 'name')} from {path}"):
        connection.raw.restoreFlags(path, serialise(root), flags)


def rest_on(root: Element, files: Mapping[str, tuple[str, str]]) -> None:
    """Let the disks of a domain's description write to `files` (path and format by target).

    What the description said of layers below goes: libvirt would believe it, and reads it in the files by itself.
    """
    for disk in root.findall("devices/disk"):
        new = files.get(get(disk, "target/@dev"))
        if new:
            drop(disk, "source")
            put(disk, "source/@file", new[0])
            disk.set("type", "file")
            put(disk, "driver/@type", new[1])
            drop(disk, "backingStore")


def rename_layers(root: Element, names: Mapping[str, str], formats: Mapping[str, str]) -> bool:
    """Let what names one layer name another one with the same content; whether there was anything."""
    files = {
        get(disk, "target/@dev"): (names[get(disk, "source/@file")], formats[names[get(disk, "source/@file")]])
        for disk in root.findall("devices/disk")
        if get(disk, "source/@file") in names
    }
    rest_on(root, files)
    return bool(files)


def has_checkpoints(domain: Domain) -> bool:
    """Whether the domain has checkpoints of backups; what knows none has none."""
    try:
        with calling(f"listing the checkpoints of {domain.name}"):
            return bool(domain.raw.listAllCheckpoints(0))
    except Unsupported:
        return False
