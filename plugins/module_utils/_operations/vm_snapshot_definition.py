# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a revert changes in a VM's definition: libvirt brings back the one of the snapshot."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping

from .._hypervisor.snapshots_external import rest_on
from .._hypervisor.xml import Element, canonical, get

# By what a device is known, best first.
_KEYS = ("target/@dev", "mac/@address", "@type", "@model")


def differences(now: Element, then: Element, *, moved: Mapping[str, str] | None = None) -> list[str]:
    """Parts of the definition that differ, such as `memory` or `disk vdb`, in the order of the XML.

    The disks that an external snapshot holds, `moved`, are compared without the files that they lie in.
    """
    ours, theirs = (_parts(_without_files(root, moved or {})) for root in (now, then))
    names = list(dict.fromkeys([*ours, *theirs]))
    return [name for name in names if ours.get(name) != theirs.get(name)]


def _without_files(root: Element, targets: Mapping[str, str]) -> Element:
    plain = copy.deepcopy(root)
    rest_on(plain, {target: ("", "") for target in targets})
    return plain


def _parts(root: Element) -> dict[str, str]:
    """Each part's canonical text by its name."""
    found = {child.tag.rpartition("}")[2]: canonical(child) for child in root if child.tag != "devices"}
    seen: Counter[str] = Counter()
    for device in root.findall("devices/*"):
        name = _name(device)
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} {seen[name]}"] = canonical(device)
    return found


def _name(device: Element) -> str:
    key = next((value for value in (get(device, path) for path in _KEYS) if value), "")
    return f"{device.tag} {key}".strip()
