# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The UEFI variables of a published VM: what an image says of them. They are a blob of their own beside the disks' blocks."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .._errors import TransferError
from .digest import is_digest

# Under this name descriptions, records and results tell of them.
TOLD_AS = "variables"
# What the firmware of Arm machines has; that of PCs has half a MiB.
MOST_VARIABLES = 64 << 20
_MOST_TEXT = 32


@dataclass(frozen=True)
class Variables:
    """`content` is the digest of the bytes that the firmware sees, and `size` how many there are.

    `format` is what the publisher's file was, `secure_boot` whether its firmware was one that starts signed code only.
    """

    content: str
    size: int
    format: str = "raw"
    secure_boot: bool = False

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def read_variables(told: Mapping[str, Any], *, where: str) -> Variables | None:
    """What `told`, a VM's description, a record or a result, says of them; raises TransferError for what can't be."""
    found = told.get(TOLD_AS)
    if not found:
        return None
    content, size = (found.get("content"), found.get("size")) if isinstance(found, dict) else (None, None)
    if not is_digest(content) or not isinstance(size, int) or isinstance(size, bool) or not 0 < size <= MOST_VARIABLES:
        raise TransferError(f"{where}: the UEFI variables have no digest of their content, or no sensible size.")
    return Variables(str(content), size, str(found.get("format", "raw"))[:_MOST_TEXT], found.get("secure_boot") is True)


def recorded_variables(source: Mapping[str, Any]) -> Variables | None:
    """What a file's record says of them; nothing for what can't be, since who owns the file may have written anything there."""
    with contextlib.suppress(TransferError):
        return read_variables(source, where="record")
    return None
