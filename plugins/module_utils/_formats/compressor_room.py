# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a thread needs to compress with a C library: a compressor of its own and a buffer for the output."""

from __future__ import annotations

import ctypes
import threading
from typing import Callable


class CompressorRoom(threading.local):
    """One thread's compressor, made by `create` and given back by `free`, and output buffer."""

    def __init__(self, create: Callable[[], int | None], free: Callable[[int], None]) -> None:
        self._free = free
        self.compressor = create()
        if not self.compressor:
            raise MemoryError
        self.output = ctypes.create_string_buffer(0)

    def of_size(self, size: int) -> ctypes.Array[ctypes.c_char]:
        """The output buffer, at least `size` bytes long."""
        if len(self.output) < size:
            self.output = ctypes.create_string_buffer(size)
        return self.output

    def __del__(self) -> None:
        if self.compressor:
            self._free(self.compressor)
