# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text descriptor of VMDK, alone in a file or embedded in a sparse extent (Virtual Disk Format 5.0, "The Descriptor File")."""

from __future__ import annotations

import re

from .facts import Backing, Draft, Extent
from .reader import SECTOR, Malformed, text
from .rules import finding
from .vmdk_extents import add_extents

# QEMU reads no further.
MAX_DESCRIPTOR = (1 << 20) - 1
MAX_EXTENTS = 4096
NO_PARENT = "ffffffff"
EXTENT = re.compile(
    r'^(RW|RDONLY|NOACCESS)[ \t]+(\d{1,19})[ \t]+([A-Z0-9]{1,16})(?:[ \t]+"([^"\r\n]{1,255})"(?:[ \t]+(\d{1,19}))?)?[ \t]*$'
)
ACCESS = re.compile(r"^(RW|RDONLY|NOACCESS)\b")
SETTING = re.compile(r'^[ \t]*([A-Za-z][A-Za-z0-9_.]{0,63})[ \t]*=[ \t]*"?([^"\r\n]*)"?')
KEPT = {
    "adapter_type": "ddb.adaptertype",
    "cid": "cid",
    "parent_cid": "parentcid",
    "hardware_version": "ddb.virtualhwversion",
    "tools_version": "ddb.toolsversion",
    "uuid": "ddb.uuid",
}


def parse_descriptor(draft: Draft, data: bytes, *, embedded: bool) -> None:
    """Settings, parent and extents."""
    settings: dict[str, str] = {}
    before = "#"
    for line in text(data).split("\n"):
        _line(draft, settings, line, before)
        before = line.strip()
    draft.variant = settings.get("createtype", "unknown")
    draft.header.update({name: settings[key] for name, key in KEPT.items() if key in settings})
    _check_parent(draft, settings)
    add_extents(draft, embedded=embedded)


def _line(draft: Draft, settings: dict[str, str], line: str, before: str) -> None:
    extent, setting = EXTENT.match(line.strip()), SETTING.match(line)
    if extent:
        if len(draft.extents) >= MAX_EXTENTS:
            raise Malformed("absurd-size", f"The VMDK descriptor lists more than {MAX_EXTENTS} extents.")
        access, sectors, kind, name, offset = extent.groups()
        draft.extents.append(
            Extent(access=access, size=int(sectors) * SECTOR, kind=kind, name=name, offset=int(offset or 0) * SECTOR)
        )
        if not before:
            draft.findings.append(
                finding("malformed-header", "An extent line follows an empty line, and QEMU would read it twice.")
            )
    elif ACCESS.match(line.strip()):
        raise Malformed("malformed-header", f"The VMDK descriptor has an extent line that is none: '{line[:80]}'.")
    elif setting:
        settings.setdefault(setting.group(1).lower(), setting.group(2))


def _check_parent(draft: Draft, settings: dict[str, str]) -> None:
    name = settings.get("parentfilenamehint")
    if name or settings.get("parentcid", NO_PARENT).lower() != NO_PARENT:
        draft.backing = Backing(name=name or "", format="vmdk")
        draft.findings.append(
            finding(
                "backing-file",
                f"The image reads the parent '{name or 'without a name'}', which was "
                "not declared; declare it or use a flat copy.",
                file=name,
            )
        )
