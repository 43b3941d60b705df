# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client against a server that fails on purpose: QEMU's blkdebug, and one of ours that lies."""

from __future__ import annotations

import socket
import struct
import subprocess
import time
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.guest_view import BLOCK, guest_blocks
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import Image
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.nbd_client import NbdClient
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.nbd_server import served

MIB = 1 << 20


@pytest.fixture
def image(tmp_path: Path) -> Image:
    path = tmp_path / "image.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "9M"], check=True)
    for at, pattern in (("0", 1), ("5M", 2), ("8M", 3)):
        subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", f"write -P {pattern} {at} 64k", str(path)], check=True, capture_output=True
        )
    return Image(str(path), "qcow2")


def test_blocks_and_holes(image: Image) -> None:
    with guest_blocks(image, size=9 * MIB, direct=False) as blocks:
        found = list(blocks)
    assert [block is None for block in found] == [False, True, False, True, False]
    assert [len(block) for block in found if block is not None] == [BLOCK, BLOCK, MIB]
    assert found[2] is not None and found[2][MIB : MIB + 2] == b"\2\2" and found[2][:2] == b"\0\0"


def test_a_size_that_the_header_does_not_say(image: Image) -> None:
    with pytest.raises(EngineError, match="its header says"), guest_blocks(image, size=MIB, direct=False):
        pass


def test_an_image_that_is_not_what_was_said(image: Image) -> None:
    with pytest.raises(EngineError, match="not in vmdk format|qemu-nbd"), served(Image(image.path, "vmdk")):
        pass


def test_what_the_disk_cannot_read_is_told_by_its_place(image: Image, tmp_path: Path) -> None:
    path = tmp_path / "socket"
    broken = (
        "driver=qcow2,file.driver=blkdebug,file.image.driver=file,"
        f"file.image.filename={image.path},file.inject-error.0.event=read_aio"
    )
    server = subprocess.Popen(["qemu-nbd", "-r", "--image-opts", "-k", str(path), broken])
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            while connection.connect_ex(str(path)):
                time.sleep(0.01)
            client = NbdClient(connection)
            with pytest.raises(EngineError, match="can't be read: Input/output error") as caught:
                client.take(client.ask(0, MIB))
            assert caught.value.details["offset"] == 0
            client.end()
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "no NBD server"),
        (b"NBDMAGIC", "ended before"),
        (b"NBDMAGICIHAVEOPT\0\3" + struct.pack(">QIII", 0x3E889045565A9, 8, (1 << 31) | 1, 0), "refused option 8"),
        (b"NBDMAGICIHAVEOPT\0\3" + struct.pack(">QIII", 0x3E889045565A9, 8, 1, 1 << 30), "announced"),
    ],
)
def test_a_server_that_lies(said: bytes, complaint: str) -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(said)
    theirs.shutdown(socket.SHUT_WR)
    with ours, pytest.raises(EngineError, match=complaint):
        NbdClient(ours)
    theirs.close()
