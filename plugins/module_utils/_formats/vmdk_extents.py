# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The extents of a VMDK: which files a descriptor may name, and what each of those files must be.

A name is a plain name in the descriptor's own folder. QEMU reads the kinds FLAT (with an offset), VMFS, SPARSE and VMFSSPARSE
of access RW, in descriptors of the types in READ, and passes over other lines in silence, so those are refused.
"""

from __future__ import annotations

import os

from .facts import Draft, Extent, Finding, ImageFacts, Reference
from .reader import SECTOR
from .rules import finding

SINGLE_FILE = {"monolithicSparse", "streamOptimized"}
READ = {"monolithicFlat", "vmfs", "vmfsSparse", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat"}
FLAT, SPARSE = {"FLAT", "VMFS"}, {"SPARSE", "VMFSSPARSE"}
# What a file of a sparse extent calls itself: without a descriptor of its own.
SPARSE_FILES = {"sparse extent", "vmfsSparse"}
SHOWN = 16


def add_extents(draft: Draft, *, embedded: bool) -> None:
    """Only one sparse extent inside its own file names no other file; of others each file is a reference of the image."""
    if draft.variant not in (SINGLE_FILE if embedded else READ):
        draft.findings.append(
            finding(
                "unsupported-variant",
                f"A {'sparse VMDK' if embedded else 'VMDK descriptor'} of the type '{draft.variant}' is not supported; "
                "export the VM where it was made.",
            )
        )
    if embedded and len(draft.extents) == 1 and draft.extents[0].kind == "SPARSE":
        return
    if not draft.extents:
        draft.findings.append(finding("malformed-header", "The VMDK descriptor lists no extent."))
    for number, extent in enumerate(draft.extents):
        problem = _line_problem(extent)
        plain = not embedded and not problem and is_plain(extent.name)
        if plain:
            form = "raw" if extent.kind in FLAT else "vmdk"
            draft.references.append(Reference(kind="extent", name=str(extent.name), format=form))
        if problem:
            draft.findings.append(problem)
        # Every plain name needs its own declaration, so each is told.
        if plain or number < SHOWN:
            draft.findings.append(_names_a_file(extent, plain=plain))


def is_plain(name: str | None) -> bool:
    """Whether a name stays in the folder of the descriptor and is nothing but a file's name to any reader."""
    return bool(name) and name not in (".", "..") and not set(str(name)) & set("/\\:") and str(name).isprintable()


def _names_a_file(extent: Extent, *, plain: bool) -> Finding:
    way = "declare it or use a single file" if plain else "only plain names in its own folder are followed"
    return finding(
        "extent-file",
        f"The {extent.kind} extent reads the file '{extent.name}', which was not declared; {way}.",
        file=extent.name if plain else None,
    )


def _line_problem(extent: Extent) -> Finding | None:
    """What QEMU refuses in a line, or skips as if it weren't there."""
    if extent.access != "RW" or extent.kind not in FLAT | SPARSE:
        return finding(
            "unsupported-variant",
            f"An extent of the kind {extent.access} {extent.kind} is not supported; export the VM where it was made.",
        )
    if not extent.size or (extent.kind != "FLAT" and extent.offset):
        return finding("malformed-header", f"The line of the {extent.kind} extent '{extent.name}' is not allowed.")
    return None


def extent_problem(image: ImageFacts, name: str, found: ImageFacts, file_size: int) -> Finding | None:
    """What is wrong with the file of an extent: its kind, or its size against what the descriptor says."""
    lines = [extent for extent in image.extents if extent.name == name]
    if any(extent.kind in FLAT for extent in lines):
        needed = max(extent.offset + extent.size for extent in lines)
        if file_size < needed:
            return finding(
                "truncated", f"The extent '{name}' ends at byte {file_size}, wanted are {needed}; restore it."
            )
        return None
    if len(lines) > 1:
        return finding("shared-table", f"Two extent lines of the VMDK name the sparse file '{name}'.")
    if found.format != "vmdk" or found.variant not in SPARSE_FILES or found.backing or found.extents:
        return finding(
            "unsupported-variant", f"The extent '{name}' is no sparse extent without a descriptor of its own."
        )
    if any(extent.size != found.virtual_size for extent in lines):
        return finding(
            "header-mismatch",
            f"The descriptor gives the extent '{name}' {lines[0].size // SECTOR} sectors, its own header "
            f"{found.virtual_size // SECTOR}.",
        )
    return None


def leaves_folder(image: str, extent: str) -> Finding | None:
    """Whether the file of an extent, by its real path, lies elsewhere than its descriptor: a symbolic link."""
    if os.path.dirname(image) == os.path.dirname(extent):
        return None
    return finding("extent-file", f"The extent is a link to {extent}, outside the folder of its descriptor.")
