# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.encryption import NOT_MEASURED
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import QemuImg, convert_arguments
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.node import (
    Image,
    image_arguments,
    is_block_device,
    opening,
)

PHRASE = "pass, phrase=ünï\n"


def test_a_whole_graph_is_named_node_by_node() -> None:
    base = Image("/b", "luks", passphrase="x", descriptor=9)
    top = Image("/a,b", "qcow2", passphrase="x", data_file=Image("/d", "raw"), backing=base)
    with opening(top) as opened:
        assert opened.options(top) == (
            "driver=qcow2,encrypt.key-secret=secret0,file.driver=file,file.filename=/a,,b,"
            "data-file.driver=file,data-file.filename=/d,"
            "backing.driver=luks,backing.key-secret=secret0,backing.file.driver=file,backing.file.filename=/proc/self/fd/9"
        )
        assert len(opened.descriptors) == 2 and opened.descriptors[1] == 9
        assert opened.objects == ("--object", f"secret,id=secret0,file=/proc/self/fd/{opened.descriptors[0]}")


def test_a_window_of_a_raw_image() -> None:
    image = Image("/a", "raw", length=512)
    with opening(image) as opened:
        assert opened.options(image) == "driver=raw,size=512,file.driver=file,file.filename=/a"


def test_passphrases_are_gone_afterwards_and_never_shown() -> None:
    image = Image("/a", "luks", passphrase="hidden")
    with opening(image) as opened:
        handle = opened.descriptors[0]
        assert os.pread(handle, 99, 0) == b"hidden"
        assert "hidden" not in " ".join([*opened.objects, opened.options(image), repr(image)])
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


def test_plain_images_are_named_by_path() -> None:
    images = [Image("/a", "vhd"), Image("/b", "raw")]
    with opening(*images) as opened:
        assert image_arguments(images, opened, flags=["-f", "-F"]) == (["-f", "vpc", "-F", "raw"], ["/a", "/b"])


@pytest.mark.parametrize("format", ["qcow2", "luks"])
def test_qemu_reads_what_it_wrote_with_the_passphrase(tmp_path: Path, format: str) -> None:
    source = Image(str(tmp_path / "s,r c"), "raw")
    Path(source.path).write_bytes(os.urandom(1 << 20))
    target, wrong = (
        Image(str(tmp_path / "t"), format, passphrase=PHRASE),
        Image(str(tmp_path / "t"), format, passphrase="x"),
    )
    prefix = "encrypt." if format == "qcow2" else ""
    with opening(source, target) as opened:
        argv = convert_arguments(source, target, options=["-o", f"{prefix}iter-time=10"], opened=opened)
        _until_measured(argv, opened.descriptors)
    assert QemuImg(Commands()).compare(source, target)
    with pytest.raises(EngineError, match="Invalid password"):
        QemuImg(Commands()).compare(source, wrong)


def _until_measured(argv: list[str], descriptors: tuple[int, ...]) -> None:
    for _try in range(50):
        try:
            Commands().output(argv, pass_fds=descriptors)
            return
        except EngineError as error:
            if NOT_MEASURED not in error.details["stderr"]:
                raise
    raise AssertionError("QEMU never measured")


def test_files_are_no_block_devices(tmp_path: Path) -> None:
    assert not is_block_device(str(tmp_path)) and not is_block_device(str(tmp_path / "none"))
