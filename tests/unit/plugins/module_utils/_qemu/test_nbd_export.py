# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, MissingLibrary, TimedOut
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import nbd_server
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.nbd_export import exported
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.node import Image

from .._formats.images import qemu_img
from .._formats.written import KIB, MIB, NOISE, TEXT, raw

PIECES = ((0, TEXT[:MIB]), (5 * MIB + 512, NOISE[:MIB]), (16 * MIB - 512, b"\x01" * 512))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return raw(tmp_path / "source", 16 * MIB, *PIECES)


@pytest.mark.parametrize("name", ["raw", "qcow2", "vmdk", "vdi", "vhdx"])
def test_every_format_reads_as_its_guest_sees_it(tmp_path: Path, source: Path, name: str) -> None:
    image = tmp_path / "image"
    qemu_img("convert", "-f", "raw", "-O", name, str(source), str(image))
    data = source.read_bytes()
    with exported(Image(str(image), name), readers=2) as content:
        assert content.size == len(data)
        extents = list(content.extents())
        found = bytearray(len(data))
        for start, end in extents:
            found[start:end] = content.read(start, end - start)
        assert content.read(16 * MIB - 512, 1024) == b"\x01" * 512 + bytes(512)
    assert found == data
    # The blocks of a VHDX are as large as this whole disk.
    assert name == "vhdx" or sum(end - start for start, end in extents) < 12 * MIB


def test_what_lies_below_an_overlay_is_read_too(tmp_path: Path, source: Path) -> None:
    overlay = tmp_path / "overlay"
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(source), "-F", "raw", str(overlay))
    with exported(Image(str(overlay), "qcow2"), readers=1) as content:
        assert content.read(0, MIB) == TEXT[:MIB]


def test_nothing_is_left(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with exported(Image(str(source), "raw"), readers=2) as content:
        # Neither socket nor folder has a name while the content is read.
        assert os.listdir(tmp_path) == ["source"]
        assert content.read(0, 64 * KIB) == TEXT[: 64 * KIB]
    assert os.listdir(tmp_path) == ["source"]


def test_an_image_that_the_engine_refuses(tmp_path: Path, source: Path) -> None:
    with pytest.raises(EngineError, match="qemu-nbd failed"), exported(Image(str(source), "qcow2"), readers=1):
        pass


def test_a_program_that_is_not_there(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nbd_server, "PROGRAM", "no-such-program")
    with pytest.raises(MissingLibrary, match="no-such-program"), exported(Image(str(source), "raw"), readers=1):
        pass


def test_a_server_that_never_listens(source: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    silent = tmp_path / "silent"
    silent.write_text("#!/bin/sh\nexec sleep 60\n")
    silent.chmod(0o755)
    monkeypatch.setattr(nbd_server, "PROGRAM", str(silent))
    monkeypatch.setattr(nbd_server, "_START_SECONDS", 0.2)
    with pytest.raises(TimedOut, match="did not open its socket"), exported(Image(str(source), "raw"), readers=1):
        pass


def test_a_server_that_dies(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []
    start = nbd_server._start

    def remember(*arguments: object) -> object:
        started.append(start(*arguments))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(nbd_server, "_start", remember)
    image = Image(str(source), "raw")
    with pytest.raises(EngineError, match="was ended by SIGKILL"), exported(image, readers=1) as content:
        started[0].kill()
        started[0].wait()
        content.read(0, 512)
