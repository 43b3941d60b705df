# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The second phase of a conversion: which engine writes the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable

from . import convert_qemu
from .convert_work import Work
from .inspection import Inspected


@dataclass(frozen=True)
class Engine:
    """A way to write the image: `method` is its name in results, `write` fills the empty target durably or raises."""

    method: str
    write: Callable[[Work], None]


QEMU_IMG = Engine("qemu-img", convert_qemu.write)


def choose(params: dict[str, Any], source: Inspected) -> Engine:
    """The fastest engine that can make what the job's `params` describe; each gives the same content."""
    return QEMU_IMG
