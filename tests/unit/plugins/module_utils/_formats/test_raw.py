# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    create,
    disk,
    look,
    patch,
    refused,
    rules,
)


def tar(name: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.addfile(tarfile.TarInfo(name))
    return stream.getvalue()


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a", "b")
    return stream.getvalue()


CONTENTS = [
    (gzip.compress(bytes(5000)), "gzip"),
    (lzma.compress(bytes(5000)), "xz"),
    (bz2.compress(bytes(5000)), "bzip2"),
    (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd"),
    (tar("a"), "a tar archive"),
    (tar("machine.ovf"), "an OVA appliance"),
    (zipped(), "zip"),
    (b"\x7fELF" + bytes(600), "ELF"),
    (b"<!DOCTYPE html><html>not found</html>", "web page"),
]


@pytest.mark.parametrize("declared", [None, "raw"])
@pytest.mark.parametrize(("data", "name"), CONTENTS, ids=[name for _data, name in CONTENTS])
def test_what_a_raw_file_really_is(tmp_path: Path, data: bytes, name: str, declared: str | None) -> None:
    (tmp_path / "a").write_bytes(data)
    facts = look(tmp_path / "a", declared)
    assert (facts.format, rules(facts), refused(facts)) == ("raw", {"other-content"}, set())
    assert name in facts.findings[0].message and facts.header["content"] in facts.findings[0].message


@pytest.mark.parametrize("start", [b"BZhello world", b"PK", b"ustar", b""])
def test_what_only_seems_so(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "a").write_bytes(start + bytes(5000))
    assert look(tmp_path / "a").findings == ()


def descriptor(path: Path, number: int, kind: int, magic: bytes = b"CD001", **fields: bytes) -> None:
    patch(path, (16 + number) * 2048, "B5sB", kind, magic, 1)
    for at, data in fields.items():
        patch(path, (16 + number) * 2048 + int(at[1:]), f"{len(data)}s", data)


def test_iso_9660(tmp_path: Path) -> None:
    path = disk(tmp_path / "a.iso", MIB)
    size = (300).to_bytes(4, "little")
    descriptor(path, 0, 1, _40=b"MY DISC".ljust(32), _80=size, _128=(2048).to_bytes(2, "little"))
    descriptor(path, 1, 0, _7=b"EL TORITO SPECIFICATION")
    descriptor(path, 2, 2, _88=b"%/E")
    descriptor(path, 3, 255)
    facts = look(path)
    iso = {"volume_id": "MY DISC", "volume_size": 300 * 2048, "joliet": True, "el_torito": True, "udf": False}
    assert (facts.header["iso"], rules(facts), refused(facts)) == (iso, {"iso-image"}, set())
    for number, magic in enumerate((b"BEA01", b"NSR02", b"TEA01")):
        descriptor(path, 4 + number, 0, magic)
    assert look(path).header["iso"] == {**iso, "udf": True}
    with path.open("r+b") as stream:
        stream.truncate(MIB // 2)
    assert "of which only" in look(path).findings[0].message


def test_endless_volume_descriptors_end(tmp_path: Path) -> None:
    path = disk(tmp_path / "a.iso", MIB)
    for number in range(400):
        descriptor(path, number, 2)
    assert look(path).header["iso"]["volume_id"] is None


@pytest.mark.parametrize("name", ["qcow2", "qed"])
def test_an_iso_in_the_header_of_a_container_is_a_polyglot(tmp_path: Path, name: str) -> None:
    path = create(tmp_path / "a.img", name, "8M")
    patch(path, 32768, "6s", b"\1CD001")
    assert refused(look(path)) == {"polyglot"}
