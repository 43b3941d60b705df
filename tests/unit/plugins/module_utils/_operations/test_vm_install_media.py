# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gzip
import os
from pathlib import Path

import pycdlib
import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_install_media as media
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_answers import Answers

KERNEL = bytes(0x202) + b"HdrS" + b"k" * 5000


def iso(path: Path, **options: object) -> str:
    import io

    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, **options)
    image.add_directory("/BOOT", **({"joliet_path": "/boot"} if options.get("joliet") else {}))
    names = {"joliet_path": "/boot/vmlinuz"} if options.get("joliet") else {}
    image.add_fp(io.BytesIO(KERNEL), len(KERNEL), iso_path="/BOOT/VMLINUZ.;1", **names)
    image.write(str(path))
    image.close()
    return str(path)


def test_a_file_of_an_iso_image(tmp_path: Path) -> None:
    image = iso(tmp_path / "x.iso", joliet=3)
    assert media.member_start(image, "boot/vmlinuz", 1024, option="kernel") == KERNEL[:1024]
    target = tmp_path / "kernel"
    media.fetch("boot/vmlinuz", image, str(target), option="kernel")
    assert target.read_bytes() == KERNEL and target.stat().st_mode & 0o777 == 0o600


def test_a_file_that_is_not_on_it(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="initrd: the ISO image .* has no file boot/none"):
        media.member_start(iso(tmp_path / "x.iso", joliet=3), "boot/none", 1024, option="initrd")


def test_an_image_that_is_none(tmp_path: Path) -> None:
    broken = tmp_path / "x.iso"
    broken.write_bytes(bytes(40000))
    with pytest.raises(UnsafeImage, match="^iso: .* can't be read"):
        media.member_start(str(broken), "boot/none", 1024, option="kernel")


def test_answers_go_behind_the_initrd(tmp_path: Path) -> None:
    source, target = tmp_path / "initrd", tmp_path / "new"
    source.write_bytes(gzip.compress(b"installer"))
    tail = media.initrd_tail(Answers("preseed", "secret\n"))
    media.fetch(str(source), "", str(target), option="initrd", more=tail)
    data = target.read_bytes()
    assert data.startswith(source.read_bytes()) and data.endswith(tail)
    assert data.index(b"070701") % 512 == 0 and b"secret\n" in tail
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(("kind", "written"), [("preseed", False), ("kickstart", True), ("ignition", True)])
def test_what_needs_a_medium(tmp_path: Path, kind: str, written: bool) -> None:
    target = tmp_path / "answers"
    assert media.write_answers(Answers(kind, "secret\n"), str(target), (os.geteuid(), os.getegid())) is written
    assert target.exists() is written
    if written:
        assert target.stat().st_mode & 0o777 == 0o600 and b"secret\n" in target.read_bytes()


def test_nothing_but_the_disk_is_left(tmp_path: Path) -> None:
    path = str(tmp_path / "disk.qcow2")
    for one in media.hidden_files(path):
        Path(one).touch()
    Path(media.served_folder(path)).mkdir()
    (Path(media.served_folder(path)) / "linux").touch()
    (tmp_path / "disk.qcow2").touch()
    media.remove_beside(path)
    assert {str(one) for one in tmp_path.iterdir()} == {path, media.hidden(path)}
