# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, MissingLibrary
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import nbd_server
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.guest_view import BLOCK, guest_blocks
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import Image
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.nbd_server import served
from ansible_collections.imageops.fleet.plugins.module_utils._transfer import nbd

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


def test_what_the_disk_cannot_read_is_told_by_its_place(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = (
        "driver=qcow2,file.driver=blkdebug,file.image.driver=file,"
        f"file.image.filename={image.path},file.inject-error.0.event=read_aio"
    )
    monkeypatch.setattr(nbd_server, "image_arguments", lambda *_given, **_named: (["--image-opts"], [broken]))
    with pytest.raises(EngineError, match="can't be read: Input/output error") as caught, served(image) as (client,):
        client.read(0, MIB)
    assert caught.value.details == {"offset": 0, "errno": errno.EIO}


def test_several_reads_are_on_their_way(image: Image) -> None:
    with served(image) as (client,):
        asked = [client.ask(at * MIB, MIB) for at in range(9)]
        found = [bytes(client.take(cookie)) for cookie in reversed(asked)][::-1]
    assert [piece[0] for piece in found] == [1, 0, 0, 0, 0, 2, 0, 0, 3]


def test_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert nbd_server.can_serve()
    monkeypatch.setenv("PATH", os.devnull)
    assert not nbd_server.can_serve()


def test_without_the_library_nothing_is_started(image: Image, monkeypatch: pytest.MonkeyPatch) -> None:
    nbd.library.cache_clear()
    monkeypatch.setitem(sys.modules, "nbd", None)
    monkeypatch.setattr(nbd_server, "_start", pytest.fail)
    assert not nbd_server.can_serve()
    with pytest.raises(MissingLibrary, match="python3-libnbd"), served(image):
        pass
