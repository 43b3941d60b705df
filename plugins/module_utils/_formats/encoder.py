# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the writers compress with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable

# As qcow2's header numbers them.
DEFLATE, ZSTD = 0, 1


@dataclass(frozen=True)
class Encoder:
    """`compress(data, most)` gives the compressed bytes, None when they would be more than `most`."""

    name: str
    compress: Callable[[bytes, int], bytes | None]
    compression_type: int = DEFLATE
