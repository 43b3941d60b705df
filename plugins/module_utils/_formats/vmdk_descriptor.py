# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The text descriptor of VMDK, alone in a file or embedded in a sparse extent."""

from __future__ import annotations

import re

from .facts import Backing, Draft, Extent
from .reader import SECTOR, Malformed, text
from .rules import finding

MAX_EXTENTS = 4096
MAX_NAME = 512
NO_PARENT = "ffffffff"
SINGLE_FILE = {"monolithicSparse", "streamOptimized"}
EXTENT = re.compile(
    r'^(RW|RDONLY|NOACCESS)[ \t]+(\d{1,19})[ \t]+([A-Z0-9]{1,16})(?:[ \t]+"([^"\r\n]*)"(?:[ \t]+(\d{1,19}))?)?'
)
SETTING = re.compile(r'^[ \t]*([A-Za-z][A-Za-z0-9_.]{0,63})[ \t]*=[ \t]*"?([^"\r\n]*)"?')
# Comment and blank lines, then the version: that is all that QEMU's own probing asks for.
PROBE = re.compile(rb"(?:#[^\n]*\n|[ \t\r]*\n)*version=[123]\r?\n")
SIGNATURE = b"# disk descriptorfile"


def looks_like_descriptor(start: bytes) -> bool:
    """Whether VMware or QEMU would take this text for a descriptor."""
    return start[: len(SIGNATURE)].lower() == SIGNATURE or (start[:1] in b"#v\n\r \t" and bool(PROBE.match(start)))


def parse_descriptor(draft: Draft, data: bytes, *, embedded: bool) -> None:
    """Settings and extents; a file named by an extent is never opened."""
    settings: dict[str, str] = {}
    for line in text(data).split("\n"):
        _line(draft, settings, line)
    draft.variant = settings.get("createtype", "unknown")
    draft.header.update({name: settings[key] for name, key in KEPT.items() if key in settings})
    _check_parent(draft, settings)
    _check_extents(draft, embedded)


KEPT = {"adapter_type": "ddb.adaptertype", "cid": "cid", "hardware_version": "ddb.virtualhwversion"}


def _line(draft: Draft, settings: dict[str, str], line: str) -> None:
    extent, setting = EXTENT.match(line.strip()), SETTING.match(line)
    if extent:
        if len(draft.extents) >= MAX_EXTENTS:
            raise Malformed("absurd-size", f"The VMDK descriptor lists more than {MAX_EXTENTS} extents.")
        access, sectors, kind, name, offset = extent.groups()
        draft.extents.append(
            Extent(
                access=access,
                size=int(sectors) * SECTOR,
                kind=kind,
                name=name[:MAX_NAME] if name is not None else None,
                offset=int(offset or 0) * SECTOR,
            )
        )
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


def _check_extents(draft: Draft, embedded: bool) -> None:
    """Only one sparse extent inside its own file names no other file."""
    if embedded and draft.variant not in SINGLE_FILE:
        draft.findings.append(
            finding(
                "unsupported-variant",
                f"A sparse VMDK that calls itself '{draft.variant}' is not one "
                "of monolithicSparse and streamOptimized.",
            )
        )
    alone = embedded and len(draft.extents) == 1 and draft.extents[0].kind == "SPARSE"
    if alone:
        return
    for extent in draft.extents[:16]:
        draft.findings.append(
            finding(
                "extent-file",
                f"The {extent.kind} extent reads the file '{extent.name}'; convert the "
                "image to a single file on the host that made it.",
            )
        )
    if not draft.extents:
        draft.findings.append(finding("malformed-header", "The VMDK descriptor lists no extent."))
