# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Labels of a VM: kept in our metadata in its description, told by `vm_info`, and nothing to the VM itself."""

from __future__ import annotations

import functools

from .._errors import InUse
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.xml import IMAGEOPS, Element, clone, drop, ensure
from .._plan import Step

OURS = f"metadata/{{{IMAGEOPS}}}vm"
_LABEL = f"{{{IMAGEOPS}}}label"


def labels_of(root: Element) -> dict[str, str]:
    """The labels in a description, sorted by name."""
    found = root.findall(f"{OURS}/{_LABEL}")
    return dict(sorted((label.get("name", ""), label.get("value", "")) for label in found))


def set_labels(root: Element, wanted: dict[str, str]) -> None:
    """Have just these labels."""
    if labels_of(root) == wanted:
        return
    drop(root, f"{OURS}/{_LABEL}")
    ours = ensure(root, OURS)
    for name, value in sorted(wanted.items()):
        # By element and not by path: a label's name may hold any character.
        label = Element(_LABEL, {"name": name, "value": value})
        ours.append(label)


def label_steps(root: Element, existing: Element | None, name: str, connection: Connection) -> tuple[Step, ...]:
    """The step that changes only the labels of a VM whose description stays, also while it runs."""
    if existing is None or labels_of(root) == labels_of(existing):
        return ()
    ours = clone(ensure(root, OURS))
    return (Step(f"change the labels of {name}", functools.partial(_note, connection, name, ours)),)


def _note(connection: Connection, name: str, ours: Element) -> None:
    domain: Domain | None = connection.domain(name)
    if domain is None:
        raise InUse(f"The VM {name} was removed by somebody else while this task worked on it.")
    domain.set_metadata(ours, live=domain.active)
