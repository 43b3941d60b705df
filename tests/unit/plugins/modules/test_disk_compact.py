# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._faults import FAULT_VARIABLE
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage
from ansible_collections.imageops.fleet.plugins.module_utils._records import (
    Record,
    read_record,
    untouched,
    write_record,
)
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

from ..module_utils._formats.images import qemu_img, qemu_io
from ..module_utils._formats.written import MIB, NOISE, TEXT, raw

pytestmark = pytest.mark.usefixtures("state_dir", "no_libvirt")


@pytest.fixture
def no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage.world_of.__globals__["World"], "domains_using", lambda *arguments: [])
    monkeypatch.setattr(usage, "pool_folders", lambda tools: set())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    return path


def loose(path: Path, name: str = "qcow2", *options: str) -> Path:
    """An image with much in it that is zeros."""
    source = raw(path.parent.parent / "source", 32 * MIB, (0, TEXT), (8 * MIB, NOISE[:MIB]))
    qemu_img("convert", "-S", "0", "-f", "raw", "-O", name, *options, str(source), str(path))
    return path


def compact(path: Path, *, check: bool = False, **given: Any) -> dict[str, Any]:
    result = run_module("disk_compact", {"path": str(path), **given}, check=check)
    assert not result.get("failed"), result["msg"]
    return result


def refusal(path: Path, **given: Any) -> str:
    before = path.read_bytes() if path.is_file() else b""
    result = run_module("disk_compact", {"path": str(path), **given})
    assert result.get("failed")
    assert (path.read_bytes() if path.is_file() else b"") == before
    return str(result["msg"])


def same(path: Path, name: str = "qcow2") -> None:
    qemu_img("compare", "-q", "-f", "raw", "-F", name, str(path.parent.parent / "source"), str(path))


def taken(path: Path) -> int:
    return path.stat().st_blocks * 512


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("name", "method"), [("qcow2", "qemu-img"), ("vdi", "qemu-img"), ("vmdk", "writer"), ("raw", "qemu-img")]
)
def test_zeros_are_given_back(folder: Path, name: str, method: str) -> None:
    path = loose(folder / "disk", name)
    path.chmod(0o640)
    before = taken(path)
    result = compact(path, format=name)
    job = result["disks"][0]["job"]
    assert result["changed"]
    assert taken(path) < before // 2
    assert (job["after"], job["method"]) == (taken(path), method)
    # The file system may still have been at work.
    assert abs(job["before"] - before) < MIB
    assert result["disks"][0]["allocated_size"] == taken(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert names(folder) == ["disk"]
    same(path, name)


def test_the_second_run_reads_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = loose(folder / "disk")
    compact(path)
    monkeypatch.setenv("PATH", "/nowhere")
    again = compact(path)
    assert not again["changed"]
    assert again["disks"][0]["virtual_size"] == 32 * MIB


def test_what_was_written_to_is_compacted_again(folder: Path) -> None:
    path = loose(folder / "disk")
    compact(path)
    qemu_io(path, "write -P 7 20M 1M", "write -z 20M 1M")
    assert compact(path, check=True)["changed"]
    assert compact(path)["changed"] or taken(path) > 0


def test_other_options_are_another_compaction(folder: Path) -> None:
    path = loose(folder / "disk")
    compact(path)
    before = taken(path)
    result = compact(path, compression="zlib")
    assert result["changed"]
    assert result["disks"][0]["job"]["method"] == "writer"
    assert taken(path) < before
    same(path)


def test_nothing_to_gain_leaves_the_image(folder: Path) -> None:
    source = raw(folder.parent / "source", 4 * MIB, (0, NOISE[: 4 * MIB]))
    path = folder / "disk"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", str(source), str(path))
    before = path.stat()
    result = compact(path, discard="never")
    assert not result["changed"]
    assert "no less" in result["disks"][0]["job"]["kept"]
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    again = compact(path, discard="never")
    assert not again["changed"]
    assert "job" not in again["disks"][0]


@pytest.mark.parametrize("kind", ["zlib", "zstd"])
def test_compression_is_kept(folder: Path, kind: str) -> None:
    path = loose(folder / "disk", "qcow2", "-c", "-o", f"compression_type={kind}")
    qemu_io(path, "write -P 9 1M 4M")
    expected = raw(folder.parent / "source", 32 * MIB, (0, TEXT), (8 * MIB, NOISE[:MIB]), (MIB, b"\t" * (4 * MIB)))
    before = taken(path)
    assert compact(path)["changed"]
    assert taken(path) < before - 3 * MIB
    told = json.loads(qemu_img("info", "--output=json", str(path)))
    assert told["format-specific"]["data"]["compression-type"] == kind
    assert json.loads(qemu_img("check", "--output=json", str(path)))["compressed-clusters"] > 10
    assert expected.exists()
    same(path)


def test_options_stay(folder: Path) -> None:
    options = "cluster_size=4096,lazy_refcounts=on,refcount_bits=32"
    path = loose(folder / "disk", "qcow2", "-o", options)
    compact(path)
    told = qemu_img("info", str(path))
    assert "cluster_size: 4096" in told
    assert "lazy refcounts: true" in told
    assert "refcount bits: 32" in told


@pytest.mark.parametrize("relative", [True, False])
def test_an_overlay_stays_one(folder: Path, relative: bool) -> None:
    base = raw(folder / "base", 32 * MIB, (0, TEXT), (10 * MIB, NOISE[:MIB]))
    path, name = folder / "disk", "base" if relative else str(base)
    qemu_img("create", "-q", "-f", "qcow2", "-b", name, "-F", "raw", str(path))
    qemu_io(path, "write -P 1 20M 4M", "discard 20M 2M", "write -P 5 0 1M", "write -z 10M 1M")
    qemu_img("convert", "-f", "qcow2", "-O", "raw", str(path), str(folder.parent / "source"))
    assert "declared" in refusal(path)
    before = taken(path)
    result = compact(path, backing=[str(base)], compression="zstd")
    assert result["changed"]
    assert taken(path) < before
    told = json.loads(qemu_img("info", "--output=json", str(path)))
    assert (told["backing-filename"], told["backing-filename-format"]) == (name, "raw")
    same(path)


def test_the_record_goes_with_the_content(folder: Path) -> None:
    path = loose(folder / "disk")
    made = Record("convert", "qcow2", 32 * MIB, source={"path": "/a"}, options={"compress": True})
    write_record(str(path), made)
    compact(path)
    found = read_record(str(path))
    assert found is not None
    assert (found.operation, found.source, found.options) == ("convert", {"path": "/a"}, {"compress": True})
    assert untouched(str(path), found)


def test_what_was_written_to_stays_so(folder: Path) -> None:
    path = loose(folder / "disk")
    write_record(str(path), Record("convert", "qcow2", 32 * MIB))
    os.utime(path, ns=(1, 1))
    compact(path)
    found = read_record(str(path))
    assert found is not None
    assert not untouched(str(path), found)


@pytest.mark.parametrize("name", ["qcow2", "raw"])
def test_growth_without_libguestfs(folder: Path, name: str) -> None:
    path = loose(folder / "disk", name)
    result = compact(path, format=name, size="48M", grow_partition="last")
    assert result["changed"]
    assert result["disks"][0]["virtual_size"] == 48 * MIB
    assert "cloud-init (growpart)" in result["disks"][0]["job"]["growth"]
    assert not compact(path, format=name, size="48M", grow_partition="last")["changed"]
    same(path, name)


def test_check_mode_writes_nothing(folder: Path) -> None:
    path = loose(folder / "disk")
    before = path.stat()
    result = compact(path, check=True)
    assert result["changed"]
    assert result["disks"][0]["allocated_size"] == "(known after apply)"
    after = path.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert names(folder) == ["disk"]


def snapshot(path: Path) -> None:
    qemu_img("snapshot", "-c", "one", str(path))


def bitmap(path: Path) -> None:
    qemu_img("bitmap", "--add", str(path), "one")


@pytest.mark.parametrize(("change", "words"), [(snapshot, "internal snapshots"), (bitmap, "dirty bitmaps")])
def test_what_would_be_lost_is_not(folder: Path, change: Any, words: str) -> None:
    path = loose(folder / "disk")
    change(path)
    assert f"holds {words} (one)" in refusal(path)


def test_what_others_rest_on_is_left(folder: Path) -> None:
    path = loose(folder / "disk")
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(path), "-F", "qcow2", str(folder / "above"))
    assert "reads it as its backing file" in refusal(path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"size": "16M"}, "^size: .* never made smaller"),
        ({"grow_partition": "last"}, "^grow_partition: .* give 'size' too"),
        ({"grow_partition": "x", "size": "1G"}, "^grow_partition: 'x' is no partition"),
        ({"discard": "always"}, "^discard: libguestfs can't be used on this host: .* is not installed"),
        ({"guest_timeout": 0}, "^guest_timeout: 0 seconds"),
        ({"format": "vdi"}, "."),
    ],
)
def test_what_is_refused(folder: Path, given: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import re

    if given.get("discard"):
        import shutil

        monkeypatch.setattr(shutil, "which", lambda name: None)
    assert re.search(words, refusal(loose(folder / "disk"), **given))


@pytest.mark.parametrize("content", [b"hello" + bytes(1_999_995) + b"tail", b"hello\n" * 200, b""])
def test_what_nobody_calls_a_disk_stays_as_it_is(folder: Path, content: bytes) -> None:
    path = folder / "notes"
    path.write_bytes(content)
    assert refusal(path).startswith(f"format: {path} has no signature of a disk format")


def test_a_disk_without_a_byte_is_none(folder: Path) -> None:
    (folder / "empty").touch()
    assert "holds no byte" in refusal(folder / "empty", format="raw")


def test_a_record_says_what_a_raw_disk_is(folder: Path) -> None:
    path = loose(folder / "disk", "raw")
    write_record(str(path), Record("create", "raw", 32 * MIB))
    assert compact(path)["changed"]
    assert not compact(path)["changed"]


def test_a_guest_that_writes_a_header_makes_no_other_format(folder: Path) -> None:
    path = loose(folder / "disk")
    # Its guest saw 32 MiB of a raw disk, and wrote an image of its own from the first sector on.
    os.truncate(path, 32 * MIB)
    write_record(str(path), Record("create", "raw", 32 * MIB))
    assert "carries the signature of qcow2" in refusal(path)


def test_a_vmdk_gets_no_empty_versions(folder: Path) -> None:
    path = loose(folder / "disk", "vmdk")
    bare = path.read_bytes()
    for name in (b"virtualHWVersion", b"toolsVersion"):
        bare = bare.replace(b"ddb." + name, b"#db." + name)
    path.write_bytes(bare)
    assert compact(path)["changed"]
    assert b'ddb.virtualHWVersion = "4"' in path.read_bytes()
    assert b'= ""' not in path.read_bytes()[:20480]


def test_old_images_know_no_zstd(folder: Path) -> None:
    path = loose(folder / "disk", "qcow2", "-o", "compat=0.10")
    assert "'zstd' needs compat 1.1" in refusal(path, compression="zstd")
    assert compact(path, compression="zlib")["changed"]
    assert "compat: 0.10" in qemu_img("info", str(path))


@pytest.mark.parametrize("moment", ["before-rewrite", "rewritten", "before-verify", "before-publish"])
@pytest.mark.parametrize("how", ["kill", "full", "broken"])
def test_a_failure_leaves_the_old_image(folder: Path, moment: str, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = loose(folder / "disk")
    monkeypatch.setenv(FAULT_VARIABLE, f"compact:{moment}:{how}")
    assert refusal(path)
    assert how == "kill" or names(folder) == ["disk"]
    monkeypatch.delenv(FAULT_VARIABLE)
    assert compact(path)["changed"]
    assert names(folder) == ["disk"]
    same(path)


def test_killed_after_the_rename_is_done(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = loose(folder / "disk")
    monkeypatch.setenv(FAULT_VARIABLE, "compact:after-publish:kill")
    assert run_module("disk_compact", {"path": str(path)})["failed"]
    monkeypatch.delenv(FAULT_VARIABLE)
    assert not compact(path)["changed"]
    same(path)
