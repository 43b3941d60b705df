# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the disk formats: ours, the aliases that users write, and the driver names of QEMU."""

from __future__ import annotations

from .._errors import InvalidOption

FORMATS = ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi")
# Formats that are read only: new disks are not made in them.
READ_ONLY = ("qed", "luks")
SOURCES = (*FORMATS, *READ_ONLY)

ALIASES = {"vpc": "vhd"}

QEMU_DRIVERS = {"vhd": "vpc"}


def canonical_format(name: str, *, option: str = "format") -> str:
    """Our name of a format that a caller named: vpc and vhd are one format."""
    found = ALIASES.get(name.lower(), name.lower())
    if found not in SOURCES:
        raise InvalidOption(f"{option}: '{name}' is no disk format known here; use one of {', '.join(SOURCES)}.")
    return found


def qemu_driver(name: str) -> str:
    """The name under which QEMU knows the format, for -f, -O and -F."""
    canonical = canonical_format(name)
    return QEMU_DRIVERS.get(canonical, canonical)
