# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    InUse,
    InvalidOption,
    NoSpace,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations import convert_device
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_options import read_target
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of


def check(path: str, format: str = "raw", options: dict[str, Any] | None = None, **given: Any) -> None:
    target = read_target(format, options or {}, passphrase=None)
    convert_device.check_device_options(path, target, params_of("/s", path, **given))


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"format": "vmdk"}, Unsupported, "vmdk images can't be written onto one"),
        ({"owner": "root"}, InvalidOption, "^owner: /dev/x is a block device"),
        ({"mode": "0600"}, InvalidOption, "^mode: /dev/x is a block device"),
        ({"options": {"preallocation": "full"}}, InvalidOption, "^options.preallocation: /dev/x is a block device"),
    ],
)
def test_what_makes_no_sense_on_a_device(given: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        check("/dev/x", **given)


def test_storage_with_capabilities_of_its_own() -> None:
    with pytest.raises(Unsupported, match="^dest: /dev/zd16 is a ZFS volume, .*; convert to a file, or to a disk"):
        check("/dev/zd16")


@pytest.mark.parametrize(("number", "kind"), [(errno.EBUSY, InUse), (errno.EROFS, Conflict), (errno.EIO, OSError)])
def test_devices_that_are_held(monkeypatch: pytest.MonkeyPatch, number: int, kind: type[Exception]) -> None:
    def refuse(*args: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(convert_device.os, "open", refuse)
    with pytest.raises(kind):
        convert_device.open_exclusively("/dev/x")


def test_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_device, "device_size", lambda path: 4096)
    convert_device.require_room("/dev/x", 4096)
    with pytest.raises(NoSpace, match="^dest: /dev/x has 4 KiB, and the disk needs 8 KiB"):
        convert_device.require_room("/dev/x", 8192)


@pytest.mark.parametrize("place", [0, 1000, (8 << 20) - 1, 5 << 20])
def test_blank_is_zeros_where_we_look(tmp_path: Path, place: int) -> None:
    path = tmp_path / "d"
    path.touch()
    os.truncate(path, 8 << 20)
    assert convert_device.is_blank(str(path))
    with path.open("r+b") as stream:
        stream.seek(place)
        stream.write(b"x")
    assert not convert_device.is_blank(str(path))
