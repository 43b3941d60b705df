# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An internal snapshot that the disks hold and libvirt doesn't know: made known, so that libvirt can delete it, live or not."""

from __future__ import annotations

from collections.abc import Collection

from .domain import Domain
from .snapshots_external import describe_anew
from .xml import Element, put


def note_leftover(domain: Domain, name: str, *, targets: Collection[str], created: int) -> None:
    """Let libvirt know of the snapshot `name` of the disks `targets`; the VM doesn't go on from it."""
    root = Element("domainsnapshot")
    put(root, "name", name)
    put(root, "state", "running" if domain.active else "shutoff")
    put(root, "creationTime", str(created))
    put(root, "memory/@snapshot", "internal" if domain.active else "no")
    for disk in domain.disks(inactive=not domain.active):
        put(root, f"disks/disk[@name='{disk.target}']/@snapshot", "internal" if disk.target in targets else "no")
    root.append(domain.xml(inactive=not domain.active, secure=True))
    describe_anew(domain, root, current=False)
