# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Block devices that need capabilities of their own, and are refused: volumes of LVM thin pools, ZFS and Ceph RBD."""

from __future__ import annotations

import glob
import os

from .._errors import Unsupported

SYSFS = "/sys/class/block"
_THIN_POOL = "-tpool"


def require_plain(path: str, *, option: str, instead: str) -> None:
    """Raise Unsupported for such a device; `instead` is the way out."""
    kind = _kind(os.path.basename(os.path.realpath(path)))
    if kind:
        raise Unsupported(f"{option}: {path} is {kind}, which this version doesn't work on; {instead}.")


def _kind(name: str) -> str:
    """The sort of storage, an empty string for plain devices."""
    if name.startswith("zd"):
        return "a ZFS volume"
    if name.startswith("rbd"):
        return "a Ceph RBD image"
    for uuid in glob.glob(f"{SYSFS}/{glob.escape(name)}/slaves/*/dm/uuid"):
        with open(uuid, encoding="ascii", errors="replace") as stream:
            if stream.read().strip().endswith(_THIN_POOL):
                return "a volume of an LVM thin pool"
    return ""
