# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one file that imports isal, the binding of ISA-L's deflate."""

from __future__ import annotations

import functools
from typing import Any, Callable

from .._libraries import use_own_libraries


@functools.cache
def _library() -> Any:
    """The module `isal.isal_zlib`, None without it; the role hypervisor installs it where the distribution doesn't have it."""
    use_own_libraries()
    try:
        from isal import isal_zlib
    except ImportError:
        return None
    return isal_zlib


def isal_compressor(*, level: int, window_bits: int) -> Callable[[bytes, int], bytes | None] | None:
    """A function (data, most bytes) -> deflated data, None when it takes more; None without the library.

    No match reaches back further than 2 ** abs(window_bits) bytes; negative ones mean raw deflate, as zlib has it.
    """
    library = _library()
    if library is None:
        return None

    def compress(data: bytes, most: int) -> bytes | None:
        found: bytes = library.compress(data, level, window_bits)
        return found if len(found) <= most else None

    return compress
