# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMDK, after VMware's Virtual Disk Format 5.0: which of its files this is, and what each of them may be.

A file is a text descriptor, a hosted sparse extent (with a descriptor inside: monolithicSparse, streamOptimized), a sparse
extent of ESX (COWD), or a space-efficient one of ESXi (seSparse), whose form VMware hasn't published.
"""

from __future__ import annotations

from . import vmdk_cowd, vmdk_sparse
from .facts import Draft
from .reader import SECTOR, Malformed, Reader, check_virtual_size
from .signatures import VMDK_COWD, VMDK_SESPARSE, VMDK_SPARSE
from .vmdk_descriptor import MAX_DESCRIPTOR, parse_descriptor
from .vmdk_lookalikes import check_lookalikes


def parse(image: Reader, draft: Draft) -> None:
    """Fill the draft from whichever of the VMDK files this is."""
    start = image.upto(0, SECTOR)
    if start.startswith(VMDK_SPARSE):
        vmdk_sparse.parse(image, draft)
    elif start.startswith(VMDK_COWD):
        vmdk_cowd.parse(image, draft)
    elif start.startswith(VMDK_SESPARSE):
        draft.variant = "seSparse"
        raise Malformed("unsupported-variant", "The seSparse extent of an ESXi host is not supported; export the VM.")
    else:
        _parse_text(image, draft)


def _parse_text(image: Reader, draft: Draft) -> None:
    draft.header_area = image.size
    data = image.upto(0, min(image.size, MAX_DESCRIPTOR))
    parse_descriptor(draft, data, embedded=False)
    draft.virtual_size = sum(extent.size for extent in draft.extents if extent.access == "RW")
    check_virtual_size(draft)
    check_lookalikes(draft, data, embedded=False)
