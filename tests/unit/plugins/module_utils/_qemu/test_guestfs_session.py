# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands that guestfish gets, and what its answers mean; a real one works in the target image_build."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.guestfs import Guestfs
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.guestfs_session import GuestfsSession
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.node import Image

# Says what it gets, and answers as the real one.
FISH = """#!/bin/sh
while read -r command rest; do
  echo "$command $rest" >>{folder}/log
  case "$command $rest" in
    "echo "*) echo "$rest"; echo;;
    inspect-os*) cat {folder}/roots;;
    inspect-get-mountpoints*) printf '/boot: /dev/sda1\\n/: /dev/sda2\\n/data: /dev/sdb1\\n';;
    -grep*) cat {folder}/fstab;;
    "mount $(cat {folder}/bad) "*) echo 'libguestfs: error: mount: bad superblock' >&2; exit 1;;
    mountpoints*) printf '/dev/sda2: /\\n/dev/sda1: /boot\\n';;
    part-list*|-part-list*) printf '[0] = {{\\n part_num: 1\\n part_start: 1048576\\n part_end: 9999999\\n}}\\n';;
    list-partitions*) echo /dev/sda1;;
    -list-filesystems*) echo "/dev/sda1: $(cat {folder}/kind)";;
    "sh \\"false\\"") echo 'libguestfs: error: sh: it went wrong' >&2; exit 1;;
  esac
done
"""


@pytest.fixture
def fish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "guestfish"
    program.write_text(FISH.replace("{folder}", str(folder)).replace("{{", "{").replace("}}", "}"))
    program.chmod(0o755)
    (folder / "roots").write_text("/dev/sda2\n")
    (folder / "kind").write_text("ext4")
    (folder / "fstab").write_text("/dev/sda1 /boot ext4 defaults 0 2\n")
    (folder / "bad").write_text("none")
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def session(fish: Path) -> Iterator[GuestfsSession]:
    found = GuestfsSession(Guestfs(True, 60), Image('/x/a "b"', "qcow2"), network=True, carried=[], watch=lambda: None)
    yield found
    found.close()


def log(fish: Path) -> list[str]:
    return [line for line in (fish / "log").read_text().splitlines() if "imageops-answered" not in line]


def test_a_session_from_start_to_end(session: GuestfsSession, fish: Path) -> None:
    session.start()
    session.mount()
    with tempfile.TemporaryFile() as stream:
        session.put(stream.fileno(), "/run/imageops/x")
        session.command("true")
        session.get("/run/imageops/y", stream.fileno())
        name = f"/dev/fd/{stream.fileno()}"
    session.finish()
    assert log(fish) == [
        "set-network true",
        'add-drive "/x/a \\"b\\"" format:qcow2 discard:enable cachemode:unsafe',
        "run ",
        "inspect-os ",
        "inspect-get-mountpoints /dev/sda2",
        'mount /dev/sda2 "/"',
        '-grep "[[:space:]]/" /etc/fstab',
        'mount /dev/sda1 "/boot"',
        '-mount /dev/sdb1 "/data"',
        'sh "mkdir -p /run && mount -t tmpfs -o mode=0755 imageops /run && mkdir -m 0700 /run/imageops"',
        f'upload {name} "/run/imageops/x"',
        'sh "true"',
        f'download "/run/imageops/y" {name}',
        'sh "umount /run"',
        "mountpoints ",
        '-fstrim "/"',
        '-fstrim "/boot"',
        "umount-all ",
        "shutdown ",
    ]


def test_what_fails_in_the_guest_is_told_in_its_words(session: GuestfsSession) -> None:
    session.start()
    # The second time it is gone before it is told anything.
    for _time in range(2):
        with pytest.raises(EngineError, match="^sh: it went wrong$"):
            session.command("false")


@pytest.mark.parametrize(("roots", "says"), [("", "no operating system"), ("/dev/sda1\n/dev/sda2\n", "2 operating")])
def test_a_disk_without_just_one_guest_is_refused(session: GuestfsSession, fish: Path, roots: str, says: str) -> None:
    (fish / "roots").write_text(roots)
    session.start()
    with pytest.raises(Unsupported, match=says):
        session.mount()


def test_a_file_system_that_is_needed_must_be_mounted(session: GuestfsSession, fish: Path) -> None:
    (fish / "bad").write_text("/dev/sda1")
    session.start()
    with pytest.raises(
        EngineError, match=r"mounts /dev/sda1 at /boot, which libguestfs can't do \(mount: bad superblock\); mend"
    ):
        session.mount()


@pytest.mark.parametrize("option", ["nofail", "noauto"])
def test_the_guest_may_do_without_a_file_system(session: GuestfsSession, fish: Path, option: str) -> None:
    (fish / "fstab").write_text(f"/dev/sda1 /boot ext4 defaults,{option} 0 2\n")
    session.start()
    session.mount()
    assert '-mount /dev/sda1 "/boot"' in log(fish)


def test_the_last_partition_grows(session: GuestfsSession, fish: Path) -> None:
    session.start()
    assert session.grow_last(size=1 << 30) == "the partition sda1 and its file system"
    assert log(fish)[-4:] == [
        "-part-expand-gpt /dev/sda",
        "part-resize /dev/sda 1 2095103",
        "e2fsck-f /dev/sda1",
        "resize2fs /dev/sda1",
    ]


def test_a_file_system_that_cant_grow_is_refused(session: GuestfsSession, fish: Path) -> None:
    (fish / "kind").write_text("ntfs")
    session.start()
    with pytest.raises(Unsupported, match="others don't grow here"):
        session.grow_last(size=1 << 30)
