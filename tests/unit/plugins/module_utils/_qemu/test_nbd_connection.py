# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.nbd_connection import NbdConnection

OPTION_REPLY, REPLY = 0x3E889045565A9, 0x668E33EF
GREETING = b"NBDMAGICIHAVEOPT\0\3"


def option(kind: int, data: bytes = b"") -> bytes:
    return struct.pack(">QIII", OPTION_REPLY, 0, kind, len(data)) + data


def chunk(kind: int, data: bytes, *, done: bool = True) -> bytes:
    return struct.pack(">IHHQI", REPLY, done, kind, 0, len(data)) + data


HANDSHAKE = (
    GREETING
    + option(1)
    + option(4, struct.pack(">I", 1) + b"base:allocation")
    + option(1)
    + option(3, struct.pack(">HQH", 0, 1 << 20, 1))
    + option(1)
)


@contextmanager
def server(path: Path, *answers: bytes) -> Iterator[str]:
    """Says what it is told to say, whatever it is asked, and hangs up."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()

        def serve() -> None:
            connection, _address = listening.accept()
            with connection, contextlib.suppress(ConnectionError):
                connection.sendall(b"".join(answers))
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield str(path)


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"NBDMAGIC",
        b"HTTP/1.1 200 OK\r\n\r\n",
        GREETING + option(1 << 31 | 1),
        GREETING + option(1) + option(1),
        GREETING + struct.pack(">QIII", OPTION_REPLY, 0, 1, 1 << 30),
        GREETING + struct.pack(">QIII", 1, 0, 1, 0),
    ],
)
def test_who_speaks_something_else(tmp_path: Path, said: bytes) -> None:
    with server(tmp_path / "socket", said) as path, pytest.raises(EngineError, match="^qemu-nbd "):
        NbdConnection(path, timeout=5)


@pytest.mark.parametrize(
    "said",
    [
        chunk(1, struct.pack(">Q", 4096) + bytes(512)),
        chunk(1, struct.pack(">Q", 0) + bytes(513)),
        chunk(1 << 15 | 1, struct.pack(">IH", 5, 3) + b"bad"),
        struct.pack(">IHHQI", REPLY, 1, 1, 0, 1 << 31),
        struct.pack(">IHHQI", 1, 1, 1, 0, 0),
        b"",
    ],
)
def test_answers_to_a_read_that_make_no_sense(tmp_path: Path, said: bytes) -> None:
    with server(tmp_path / "socket", HANDSHAKE, said) as path:
        connection = NbdConnection(path, timeout=5)
        with pytest.raises(EngineError, match="^qemu-nbd "):
            connection.read(0, 512)
        connection.close()


def test_data_in_pieces_and_holes(tmp_path: Path) -> None:
    pieces = (
        chunk(1, struct.pack(">Q", 1024 + 512) + b"b" * 512, done=False),
        chunk(2, struct.pack(">QI", 1024, 512), done=False),
        chunk(0, b""),
    )
    with server(tmp_path / "socket", HANDSHAKE, *pieces) as path:
        connection = NbdConnection(path, timeout=5)
        assert connection.size == 1 << 20
        assert connection.read(1024, 1024) == bytes(512) + b"b" * 512
        connection.close()


def status(*extents: tuple[int, int]) -> bytes:
    return chunk(5, struct.pack(">I", 1) + b"".join(struct.pack(">II", *extent) for extent in extents))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ([status((1 << 20, 0))], [(0, 1 << 20)]),
        ([status((1 << 20, 3))], []),
        ([status((4096, 0), (4096, 1), (8192, 2)), status(((1 << 20) - 16384, 0))], [(0, 8192), (16384, 1 << 20)]),
        # More than was asked for is cut to what the disk has.
        ([status((4096, 2), (1 << 31, 0))], [(4096, 1 << 20)]),
    ],
)
def test_extents(tmp_path: Path, said: list[bytes], expected: list[tuple[int, int]]) -> None:
    with server(tmp_path / "socket", HANDSHAKE, *said) as path:
        connection = NbdConnection(path, timeout=5)
        assert list(connection.extents()) == expected
        connection.close()


@pytest.mark.parametrize("said", [status(), status((0, 0)), chunk(0, b"")])
def test_a_status_that_leads_nowhere(tmp_path: Path, said: bytes) -> None:
    with server(tmp_path / "socket", HANDSHAKE, said) as path:
        connection = NbdConnection(path, timeout=5)
        with pytest.raises(EngineError, match="that we can't use"):
            list(connection.extents())
        connection.close()
