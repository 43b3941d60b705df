# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, TimedOut
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import guestfs
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.guestfs import Guestfs, Partition, missing_programs
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.node import Image

NAMES = ("virt-sparsify", "virt-resize", "guestfish")
# What guestfish says of Debian's and Ubuntu's cloud images, of a blank disk, and of a disk that is one file system.
CLOUD = """/dev/sda1
/dev/sda14
/dev/sda15
[0] = {
  part_num: 14
  part_start: 1048576
  part_end: 5242879
  part_size: 4194304
}
[1] = {
  part_num: 15
  part_start: 5242880
  part_end: 135266303
  part_size: 130023424
}
[2] = {
  part_num: 1
  part_start: 135266304
  part_end: 2147466751
  part_size: 2012200448
}
/dev/sda1: ext4
/dev/sda14: unknown
/dev/sda15: vfat
btrfsvol:/dev/sda1/x: btrfs
"""
BLANK = ""
WHOLE = "[0] = {\n  part_num: 1\n  part_start: 0\n  part_end: 8388607\n  part_size: 8388608\n}\n/dev/sda: ext4\n"


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for programs that say how they were called."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def install(folder: Path, name: str, does: str = "") -> None:
    program = folder / name
    program.write_text(
        f'#!/bin/sh\necho "{name} $* / $LIBGUESTFS_BACKEND $LIBGUESTFS_BACKEND_SETTINGS" >> {folder}/log\n{does}\n'
    )
    program.chmod(0o755)


def calls(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def test_what_is_missing_is_named_with_its_package(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(programs))
    install(programs, "virt-resize")
    found = missing_programs()
    assert found.startswith("virt-sparsify, guestfish is not installed")
    assert "guestfish, guestfs-tools" in found
    for name in NAMES:
        install(programs, name)
    assert missing_programs() == ""


@pytest.mark.parametrize(("emulated", "settings"), [(True, "direct force_tcg"), (False, "direct ")])
def test_each_call_names_formats_and_the_backend(programs: Path, emulated: bool, settings: str) -> None:
    for name in NAMES:
        install(programs, name)
    tools = Guestfs(emulated, 60)
    image, target = Image("/disks/a", "vhd"), Image("/disks/b", "qcow2")
    tools.launch(seconds=5)
    tools.discard_free_space(image)
    assert tools.partitions(image) == []
    tools.expand(image, target, "/dev/sda2")
    told = calls(programs)
    assert re.fullmatch(rf"guestfish --ro --format=raw -a \S+ run / {settings}", told[0])
    assert told[1:] == [
        f"virt-sparsify --quiet --in-place --format vpc /disks/a / {settings}",
        f"guestfish --ro --format=vpc -a /disks/a -- run : list-partitions : -part-list /dev/sda : -list-filesystems : -feature-available xfs / {settings}",
        f"virt-resize --format vpc --output-format qcow2 --expand /dev/sda2 /disks/a /disks/b / {settings}",
    ]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (
            CLOUD,
            [
                Partition("/dev/sda14", 1048576, 5242879, "unknown"),
                Partition("/dev/sda15", 5242880, 135266303, "vfat"),
                Partition("/dev/sda1", 135266304, 2147466751, "ext4"),
            ],
        ),
        (BLANK, []),
        (WHOLE, []),
    ],
)
def test_partitions_in_their_order_on_the_disk(programs: Path, said: str, expected: list[Partition]) -> None:
    (programs / "said").write_text(said)
    install(programs, "guestfish", f"cat {programs}/said")
    assert Guestfs(True, 60).partitions(Image("/disks/a", "qcow2")) == expected


@pytest.mark.parametrize(
    ("kind", "does"),
    [
        ("ext4", "e2fsck-f /dev/sda1 : resize2fs /dev/sda1"),
        ("btrfs", "mount /dev/sda1 / : btrfs-filesystem-resize /"),
        ("xfs", "mount /dev/sda1 / : xfs-growfs /"),
    ],
)
def test_the_last_one_grows_in_place(programs: Path, kind: str, does: str) -> None:
    install(programs, "guestfish")
    last = Partition("/dev/sda1", 1 << 20, (60 << 20) - 1, kind)
    assert last.can_grow_in_place
    Guestfs(True, 60).grow_last(Image("/disks/a", "qcow2"), last, size=(96 << 20) + 512)
    table = "-part-expand-gpt /dev/sda : part-resize /dev/sda 1 194559"
    assert calls(programs) == [
        f"guestfish --rw --format=qcow2 -a /disks/a -- run : {table} : {does} / direct force_tcg"
    ]


@pytest.mark.parametrize(("feature", "growing"), [("true", True), ("false", False), ("", False)])
def test_xfs_grows_where_the_machine_has_the_program(programs: Path, feature: str, growing: bool) -> None:
    (programs / "said").write_text(f"/dev/sda1\n/dev/sda2\n/dev/sda1: xfs\n/dev/sda2: ext4\n{feature}\n")
    install(programs, "guestfish", f"cat {programs}/said")
    found = Guestfs(True, 60).partitions(Image("/disks/a", "qcow2"))
    assert [(one.file_system, one.growing) for one in found] == [("xfs", growing), ("ext4", True)]


def test_a_partition_may_grow_alone(programs: Path) -> None:
    install(programs, "guestfish")
    last = Partition("/dev/sda1", 1 << 20, (60 << 20) - 1, "xfs", growing=False)
    Guestfs(True, 60).grow_last(Image("/disks/a", "qcow2"), last, size=96 << 20)
    (call,) = calls(programs)
    assert call.endswith(": part-resize /dev/sda 1 194559 / direct force_tcg")


@pytest.mark.parametrize(
    ("said", "method"),
    [
        ("The filesystem ext4\non /dev/sda2 will be expanded using the\n\u2018resize2fs\u2019 method.", "resize2fs"),
        ("The LVM PV on /dev/sda2 will be expanded using the \u2018pvresize\u2019 method.", "pvresize"),
        ("The filesystem ext4 on /dev/sda21 will be expanded using the \u2018resize2fs\u2019 method.", ""),
        ("/dev/sda2: This partition will be resized from 1G to 2G.", ""),
    ],
)
def test_what_virt_resize_does_with_what_is_in_the_partition(programs: Path, said: str, method: str) -> None:
    (programs / "said").write_text(said)
    install(programs, "virt-resize", f"cat {programs}/said")
    assert Guestfs(True, 60).expand(Image("/a", "raw"), Image("/b", "raw"), "/dev/sda2") == method


def test_no_partition_gets_smaller(programs: Path) -> None:
    install(programs, "guestfish")
    last = Partition("/dev/sda1", 1 << 20, (95 << 20) - 1 + 512, "ext4")
    Guestfs(True, 60).grow_last(Image("/disks/a", "qcow2"), last, size=96 << 20)
    assert not (programs / "log").exists()


def test_a_call_ends_in_time(programs: Path) -> None:
    install(programs, "virt-sparsify", "exec sleep 60")
    with pytest.raises(TimedOut, match="virt-sparsify did not end within 1 seconds"):
        Guestfs(True, 1).discard_free_space(Image("/disks/a", "qcow2"))


def test_a_failure_in_the_programs_own_words(programs: Path) -> None:
    install(programs, "virt-sparsify", "echo no kernel found >&2; exit 3")
    with pytest.raises(EngineError, match="^virt-sparsify failed: no kernel found"):
        Guestfs(True, 5).discard_free_space(Image("/disks/a", "qcow2"))


def test_every_program_has_a_package() -> None:
    assert set(guestfs._PROGRAMS) | {guestfs._FISH} == set(NAMES)


def test_the_error_is_told_and_not_how_to_report_it(programs: Path) -> None:
    says = "echo 'virt-resize: error: the disk is too small' >&2; echo 'If reporting bugs, run:' >&2; echo ' virt-resize -v' >&2; exit 1"
    install(programs, "virt-resize", says)
    with pytest.raises(EngineError) as told:
        Guestfs(True, 60).run(["virt-resize"])
    assert str(told.value) == "virt-resize failed: the disk is too small"
