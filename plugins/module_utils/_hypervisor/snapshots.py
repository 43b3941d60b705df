# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a domain as libvirt keeps them, and the calls that make, revert and delete them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from .domain import Domain
from .library import calling, library
from .sources import disks_of
from .xml import Element, get, parse, put, serialise

# Reverting internal snapshots is broken in upstream's 11.2 and 11.3 (NEWS of libvirt 11.4); Debian's 11.3 has the fix.
_SUSPECT_REVERT = ((11, 2, 0), (11, 4, 0))
# libvirt's words for the state that a snapshot holds (conf/snapshot_conf.c), and ours.
# One of disks alone has no memory to go on with, whatever the VM did.
_STATES = {
    "running": "running",
    "blocked": "running",
    "paused": "paused",
    "shutoff": "stopped",
    "disk-snapshot": "stopped",
}
# Reasons of a pause (virDomainPausedReason) of which libvirt is the cause: unknown (it was restarted meanwhile), migration, save,
# snapshot, starting up.
_OWN_PAUSES = (0, 2, 3, 9, 11)


@dataclass(frozen=True)
class Snapshot:
    """A snapshot: `state` is the VM's at that time, `created` in seconds since the epoch.

    `definition` is the VM's description of that time, which a revert makes the VM's own again; `disks` are the files that
    hold an internal snapshot. Of an external one `layers` are the files that hold its disks, `overlays` those in which the
    disks went on, both by target.
    """

    name: str
    kind: str
    memory: bool
    state: str
    parent: str
    created: int
    description: str
    current: bool
    definition: Element | None
    disks: tuple[str, ...] = ()
    layers: dict[str, str] = field(default_factory=dict)
    overlays: dict[str, str] = field(default_factory=dict)
    memory_file: str = ""

    def as_dict(self) -> dict[str, object]:
        """What results show of it."""
        names = ("name", "kind", "memory", "state", "parent", "created", "description", "current")
        return {name: getattr(self, name) for name in names}


def snapshots(domain: Domain) -> list[Snapshot]:
    """All snapshots of `domain`, oldest first."""
    with calling(f"listing the snapshots of {domain.name}"):
        listed = domain.raw.listAllSnapshots(0)
        if not listed:
            return []
        current = domain.raw.snapshotCurrent(0).getName() if domain.raw.hasCurrentSnapshot(0) else ""
        texts = [raw.getXMLDesc(0) for raw in listed]
    found = [parse_snapshot(text, current=current) for text in texts]
    return sorted(found, key=lambda snapshot: (snapshot.created, snapshot.name))


def parse_snapshot(text: str, *, current: str) -> Snapshot:
    """The snapshot that libvirt's XML describes."""
    root = parse(text)
    where = {disk.get("name", ""): disk.get("snapshot", "") for disk in root.findall("disks/disk")}
    places = {get(root, "memory/@snapshot"), *where.values()}
    state = get(root, "state")
    then, definition = root.find("domain"), root.find("inactiveDomain")
    all_disks = [] if then is None else disks_of(then)
    held = [disk.path for disk in all_disks if where.get(disk.target) == "internal"]
    outside = [disk for disk in root.findall("disks/disk") if disk.get("snapshot") == "external"]
    return Snapshot(
        name=get(root, "name"),
        kind="external" if "external" in places or state == "disk-snapshot" else "internal",
        memory=get(root, "memory/@snapshot") in ("internal", "external"),
        state=_STATES.get(state, state),
        parent=get(root, "parent/name"),
        created=int(get(root, "creationTime", "0")),
        description=get(root, "description"),
        current=get(root, "name") == current,
        definition=then if definition is None else definition,
        disks=tuple(held),
        layers={disk.target: disk.path for disk in all_disks if where.get(disk.target) == "external"},
        overlays={disk.get("name", ""): get(disk, "source/@file") for disk in outside},
        memory_file=get(root, "memory/@file"),
    )


def revert_is_suspect(version: tuple[int, int, int]) -> bool:
    """Whether this libvirt's number says that reverting internal snapshots may fail."""
    return _SUSPECT_REVERT[0] <= version < _SUSPECT_REVERT[1]


def end_pause(domain: Domain) -> None:
    """Let a VM run on that libvirt paused while it wrote or read its memory, and left so when it was killed."""
    with calling(f"looking at the domain {domain.name}"):
        _state, reason = domain.raw.state()
    if domain.state == "paused" and reason in _OWN_PAUSES:
        domain.resume()


def create_snapshot(domain: Domain, name: str, *, description: str, targets: Iterable[str], memory: bool) -> None:
    """Take an internal snapshot of the disks `targets`, all others left out; with `memory` of a running VM."""
    root = Element("domainsnapshot")
    put(root, "name", name)
    if description:
        put(root, "description", description)
    put(root, "memory/@snapshot", "internal" if memory else "no")
    inside = set(targets)
    for disk in domain.disks(inactive=not memory):
        put(root, f"disks/disk[@name='{disk.target}']/@snapshot", "internal" if disk.target in inside else "no")
    with calling(f"taking the snapshot {name} of {domain.name}"):
        domain.raw.snapshotCreateXML(serialise(root), 0)


def revert_to_snapshot(domain: Domain, name: str, *, start: bool) -> None:
    """Bring disks, definition and memory back to the snapshot; `start` runs a VM whose snapshot has no memory."""
    flags = library().VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING if start else 0
    with calling(f"reverting {domain.name} to the snapshot {name}"):
        domain.raw.revertToSnapshot(domain.raw.snapshotLookupByName(name, 0), flags)


def delete_snapshot(domain: Domain, name: str, *, children: bool) -> None:
    """Delete a snapshot; its children go too, or become children of its parent."""
    flags = library().VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN if children else 0
    with calling(f"deleting the snapshot {name} of {domain.name}"):
        domain.raw.snapshotLookupByName(name, 0).delete(flags)
