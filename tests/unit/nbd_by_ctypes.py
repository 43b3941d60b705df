# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we use of libnbd's binding `nbd`, for interpreters that no package has it for: the real library, called by ctypes.

tests/setup links it as nbd.py into their environments.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

_C = ctypes.CDLL("libnbd.so.0")
_C.nbd_create.restype = ctypes.c_void_p
_C.nbd_get_error.restype = ctypes.c_char_p

CONTEXT_BASE_ALLOCATION = "base:allocation"
STATE_ZERO = 2
CMD_FLAG_DF = 4
TLS_REQUIRE = 2

_CHUNK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p
)
_EXTENT = ctypes.CFUNCTYPE(
    ctypes.c_int,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_uint64,
    ctypes.POINTER(ctypes.c_uint32),
    ctypes.c_size_t,
    ctypes.c_void_p,
)


class _Callback(ctypes.Structure):
    """nbd_chunk_callback, nbd_extent_callback and nbd_completion_callback are all of this form."""

    _fields_ = (("callback", ctypes.c_void_p), ("user_data", ctypes.c_void_p), ("free", ctypes.c_void_p))


class Error(Exception):
    """What libnbd said last in this thread."""

    def __init__(self) -> None:
        self.string = (_C.nbd_get_error() or b"").decode()
        self.errnum = _C.nbd_get_errno()
        super().__init__(self.string, self.errnum)


class Buffer:
    """Memory that a read fills."""

    def __init__(self, data: bytearray) -> None:
        self.memory = (ctypes.c_char * len(data)).from_buffer(data)

    @classmethod
    def from_buffer(cls, data: bytearray) -> Buffer:
        return cls(data)


class NBD:
    """A handle. Every method is the C function of its name; what isn't text, number or truth is said below."""

    def __init__(self) -> None:
        self._handle = ctypes.c_void_p(_C.nbd_create())
        # Until the handle is closed, libnbd may use them.
        self._kept: list[object] = []

    def __del__(self) -> None:
        _C.nbd_close(self._handle)

    def __getattr__(self, name: str) -> Callable[..., int]:
        def call(*given: str | int) -> int:
            return self._call(name, *(word.encode() if isinstance(word, str) else word for word in given))

        return call

    def _call(self, name: str, *given: Any) -> int:
        function = getattr(_C, f"nbd_{name}")
        function.restype = ctypes.c_int64 if name in ("get_size", *_COMMANDS) else ctypes.c_int
        found: int = function(self._handle, *given)
        if found == -1:
            raise Error
        return found

    def aio_disconnect(self) -> None:
        self._call("aio_disconnect", ctypes.c_uint32(0))

    def aio_command_completed(self, cookie: int) -> int:
        return self._call("aio_command_completed", ctypes.c_uint64(cookie))

    def aio_pread_structured(self, buffer: Buffer, offset: int, chunk: Callable[..., int], flags: int = 0) -> int:
        note = _CHUNK(chunk)
        self._kept += [buffer, note]
        size = ctypes.c_size_t(len(buffer.memory))
        return self._call(_COMMANDS[0], buffer.memory, size, ctypes.c_uint64(offset), _of(note), _Callback(), flags)

    def aio_block_status(self, count: int, offset: int, extent: Callable[..., int]) -> int:
        def told(_data: Any, context: bytes, at: int, entries: Any, number: int, error: Any) -> int:
            return extent(context.decode(), at, entries[:number], error)

        note = _EXTENT(told)
        self._kept.append(note)
        return self._call(_COMMANDS[1], ctypes.c_uint64(count), ctypes.c_uint64(offset), _of(note), _Callback(), 0)


_COMMANDS = ("aio_pread_structured", "aio_block_status")


def _of(note: Any) -> _Callback:
    return _Callback(ctypes.cast(note, ctypes.c_void_p))
