# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InvalidOption,
    NotFound,
    UnsafeImage,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations import inspection
from ansible_collections.imageops.fleet.plugins.module_utils._operations.inspection import (
    Inspected,
    identity_of,
    inspect,
    recorded_backing,
)
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, write_record


@pytest.fixture
def base(tmp_path: Path) -> Path:
    path = tmp_path / "base.raw"
    path.write_bytes(b"\1" * 65536)
    return path


@pytest.fixture
def overlay(base: Path) -> Path:
    path = base.parent / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", "raw", path], check=True)
    return path


def test_a_chain_and_what_it_was(base: Path, overlay: Path) -> None:
    found = inspect(str(overlay), declared="qcow2", backing=[str(base)])
    assert (found.path, found.format, found.virtual_size) == (str(overlay), "qcow2", 65536)
    assert found.files == (str(overlay), str(base))
    before = found.identity()
    assert before == identity_of(found.files)
    os.utime(base, ns=(1, 1))
    assert found.identity() == before != identity_of(found.files)
    assert found.telling


def test_a_record_declares_its_backing(base: Path, overlay: Path) -> None:
    with pytest.raises(UnsafeImage, match=r"^src: .* is not safe to use: "):
        inspect(str(overlay), declared=None, option="src")
    write_record(str(overlay), Record("overlay", "qcow2", 65536, options={"backing": str(base)}))
    assert recorded_backing([str(overlay)]) == {str(base)}
    assert len(inspect(str(overlay), declared=None).files) == 2


@pytest.mark.parametrize(
    ("name", "declared", "kind", "said"),
    [
        ("none", None, NotFound, "src: .*none does not exist"),
        (".", None, Conflict, "neither a regular file nor a block device"),
        ("overlay.qcow2", "vmdk", Conflict, "^src: "),
        ("overlay.qcow2", "raw", ImageOpsError, "^src: "),
        ("overlay.qcow2", "floppy", ImageOpsError, "^src_format: 'floppy'"),
    ],
)
def test_refusals(overlay: Path, name: str, declared: str | None, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        inspect(str(overlay.parent / name), declared=declared, option="src")


@pytest.mark.parametrize(("option", "said"), [("path", "backing"), ("src", "src_backing"), ("disks", "backing")])
def test_what_is_below_is_named_by_absolute_paths(overlay: Path, option: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{said}: 'base.raw' is not an absolute path"):
        inspect(str(overlay), declared=None, backing=["base.raw"], option=option)


def test_what_is_foreseen_has_no_files() -> None:
    found = Inspected.foreseen("/x", {"format": "raw", "virtual_size": 512})
    assert (found.files, found.identity(), found.virtual_size) == ((), [], 512)


def test_a_block_device_does_not_tell_of_writes() -> None:
    assert not Inspected("/dev/x", "raw", 512, ("/dev/null",)).telling


@pytest.mark.parametrize(("owner", "mode"), [(4711, 0o640), (0, 0o646)])
def test_a_record_that_others_may_write_opens_no_file(
    base: Path, overlay: Path, monkeypatch: pytest.MonkeyPatch, owner: int, mode: int
) -> None:
    write_record(str(overlay), Record("overlay", "qcow2", 65536, options={"backing": str(base)}))
    assert inspect(str(overlay), declared="qcow2").files == (str(overlay), str(base))
    found = os.stat_result((stat.S_IFREG | mode, 1, 1, 1, owner, 0, 0, 0, 0, 0))
    assert not inspection._is_ours(found)
    monkeypatch.setattr(inspection, "_is_ours", lambda status: False)
    with pytest.raises(UnsafeImage, match="was not declared"):
        inspect(str(overlay), declared="qcow2")
