# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The raw copy that the chroot engine works on, and which of its file systems is the guest's root; mount is pretended."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _files
from ansible_collections.imageops.fleet.plugins.module_utils._commands import failure
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, NoSpace, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._operations import build_mounted
from ansible_collections.imageops.fleet.plugins.module_utils._operations.build_partitions import FileSystem
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import Image

from .._formats.images import qemu_img

BOOT, ROOT = FileSystem(1 << 20, 1 << 20, "ext4", {"UUID": "b"}), FileSystem(2 << 20, 8 << 20, "ext4")
PARAMS = {"guest_timeout": 60}
NO_MOUNT = (3, "mount: /tree: wrong fs type.\n       dmesg(1) may have more information.\n")
NO_ROOT = (4, "")


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[int, tuple[int, str] | str]], list[str]]:
    """What looking at the file system at a byte says: an fstab, or an exit code and an error; the scripts that ran."""

    def install(said: Mapping[int, tuple[int, str] | str]) -> list[str]:
        scripts: list[str] = []

        def output(_self: object, argv: list[str], **_options: object) -> str:
            scripts.append(argv[-1])
            found = next(answer for start, answer in said.items() if f"offset={start}," in argv[-1])
            if isinstance(found, tuple):
                raise failure(argv, *found)
            return found

        monkeypatch.setattr(build_mounted.Commands, "output", output)
        return scripts

    return install


def test_the_root_is_where_the_users_are(pretend: Callable[..., list[str]]) -> None:
    pretend({BOOT.start: NO_ROOT, ROOT.start: "UUID=b /boot ext4 defaults 0 2\n"})
    found = build_mounted._mounts("/disk", "/tree", [BOOT, ROOT], PARAMS)
    assert [(mount.point, mount.start) for mount in found] == [("/", ROOT.start), ("/boot", BOOT.start)]


def test_a_journal_can_be_replayed(pretend: Callable[..., list[str]]) -> None:
    """A guest that ran left one, and ext4 can't be mounted from a device that can't be written to."""
    scripts = pretend({ROOT.start: ""})
    build_mounted._mounts("/disk", "/tree", [ROOT], PARAMS)
    assert "ro" not in scripts[0].split("-o ")[1].split()[0].split(",")


def test_what_could_not_be_mounted_is_told(pretend: Callable[..., list[str]]) -> None:
    pretend({BOOT.start: NO_ROOT, ROOT.start: NO_MOUNT})
    with pytest.raises(Unsupported) as told:
        build_mounted._mounts("/disk", "/tree", [BOOT, ROOT], PARAMS)
    assert str(told.value).endswith(
        "These could not be mounted: the ext4 at byte 2097152 (mount: /tree: wrong fs type.)."
    )


def test_what_else_goes_wrong_goes_on(pretend: Callable[..., list[str]]) -> None:
    pretend({ROOT.start: (1, "unshare: failed\n")})
    with pytest.raises(EngineError, match="unshare"):
        build_mounted._mounts("/disk", "/tree", [ROOT], PARAMS)


class Quiet:
    def phase(self, name: str, **told: Any) -> None: ...


def test_the_raw_copy_must_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plain").write_bytes(b"a" * (8 << 20))
    disk = tmp_path / "golden-work"
    qemu_img("convert", "-c", "-f", "raw", "-O", "qcow2", str(tmp_path / "plain"), str(disk))
    free = os.statvfs_result((1, 4096, 1024, 1024, 1024, 0, 0, 0, 0, 255))
    with monkeypatch.context() as short, (tmp_path / "lock").open("w") as lock:
        short.setattr(_files.os, "statvfs", lambda folder: free)
        with pytest.raises(NoSpace, match="^engine: the raw copy that chroot works on needs about 8"):
            build_mounted._make_raw(Image(str(disk), "qcow2"), Quiet(), lock.fileno())  # type: ignore[arg-type]
    assert sorted(os.listdir(tmp_path)) == ["golden-work", "lock", "plain"]
    with (tmp_path / "lock").open("w") as lock:
        build_mounted._make_raw(Image(str(disk), "qcow2"), Quiet(), lock.fileno())  # type: ignore[arg-type]
    assert disk.read_bytes() == (tmp_path / "plain").read_bytes()
