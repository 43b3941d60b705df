# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._formats import sparse_vmdk_writer

from .images import look, qemu_img
from .written import KIB, MIB, NOISE, TEXT, raw, sparse_vmdk

GIB, TIB = 1 << 30, 1 << 40
SECTOR, GRAIN = 512, 64 * KIB
MIXED = ((0, TEXT), (3 * MIB + 512, NOISE[: 200 * KIB]), (40 * MIB - 512, b"\x01" * 512))


def same(source: Path, target: Path) -> None:
    qemu_img("compare", "-q", "-f", "raw", "-F", "vmdk", str(source), str(target))


def test_qemu_reads_what_was_written(tmp_path: Path) -> None:
    source, target = raw(tmp_path / "source", 40 * MIB, *MIXED), tmp_path / "target"
    told = sparse_vmdk(source, target)
    assert told[-1][0] == 40 * MIB
    same(source, target)
    qemu_img("check", "-q", "-f", "vmdk", str(target))
    info = json.loads(qemu_img("info", "--output=json", "-f", "vmdk", str(target)))
    assert info["format-specific"]["data"]["create-type"] == "monolithicSparse"
    assert info["virtual-size"] == 40 * MIB
    facts = look(target)
    assert (facts.variant, facts.virtual_size, facts.findings) == ("monolithicSparse", 40 * MIB, ())


def test_header_and_tables_are_those_of_qemu(tmp_path: Path) -> None:
    source, ours, theirs = raw(tmp_path / "source", 40 * MIB, *MIXED), tmp_path / "ours", tmp_path / "theirs"
    sparse_vmdk(source, ours)
    qemu_img("convert", "-m", "1", "-f", "raw", "-O", "vmdk", str(source), str(theirs))
    one, other = ours.read_bytes(), theirs.read_bytes()
    assert one[:SECTOR] == other[:SECTOR]
    assert one[21 * SECTOR :] == other[21 * SECTOR :]


@pytest.mark.parametrize("size", [512, GRAIN - 512, GRAIN, GRAIN + 512, 32 * MIB, 32 * MIB + 1536])
def test_any_size(tmp_path: Path, size: int) -> None:
    source, target = raw(tmp_path / "source", size, (size - 512, b"\xa5" * 512)), tmp_path / "target"
    sparse_vmdk(source, target)
    same(source, target)
    assert target.stat().st_size % GRAIN == 0
    assert look(target).findings == ()


@pytest.mark.parametrize("written", [(), ((0, bytes(3 * MIB)),)], ids=["hole", "zeros"])
def test_an_empty_disk_has_no_grains(tmp_path: Path, written: tuple[tuple[int, bytes], ...]) -> None:
    source, target = raw(tmp_path / "source", 3 * MIB, *written), tmp_path / "target"
    sparse_vmdk(source, target)
    same(source, target)
    assert target.stat().st_size == GRAIN
    assert look(target).findings == ()


def test_a_sparse_disk_of_a_tebibyte(tmp_path: Path) -> None:
    """Its tables take 128 MiB of the file, but no room on the disk."""
    source = raw(tmp_path / "source", TIB, (0, TEXT[:512]), (600 * GIB, TEXT), (TIB - 512, b"\x01" * 512))
    target = tmp_path / "target"
    sparse_vmdk(source, target)
    assert look(target).virtual_size == TIB
    assert target.stat().st_blocks * 512 < 8 * MIB
    for offset in (0, 600 * GIB, TIB - 4096):
        found = tmp_path / "found"
        offset_size = (
            f"driver=raw,offset={offset},size=4096,file.driver=vmdk,file.file.driver=file,file.file.filename={target}"
        )
        qemu_img("convert", "--image-opts", "-O", "raw", offset_size, str(found))
        with source.open("rb") as stream:
            stream.seek(offset)
            assert found.read_bytes() == stream.read(4096)


def test_the_same_content_gives_the_same_file(tmp_path: Path) -> None:
    source = raw(tmp_path / "source", 40 * MIB, *MIXED)
    sparse_vmdk(source, tmp_path / "one")
    sparse_vmdk(source, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    raw(source, 40 * MIB, *MIXED, (20 * MIB, b"\x02"))
    sparse_vmdk(source, tmp_path / "three")
    first, second = ((tmp_path / name).read_bytes()[SECTOR : 3 * SECTOR] for name in ("one", "three"))
    assert first != second


def test_the_descriptor_names_the_file(tmp_path: Path) -> None:
    source, target = raw(tmp_path / "source", MIB), tmp_path / "target"
    sparse_vmdk(source, target, name="Gr\u00fc\u00dfe.vmdk", adapter_type="lsilogic")
    text = target.read_bytes()[SECTOR : 21 * SECTOR].rstrip(b"\0").decode()
    assert 'RW 2048 SPARSE "Gr\u00fc\u00dfe.vmdk"' in text
    assert 'ddb.adapterType = "lsilogic"' in text


def test_what_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_vmdk_writer, "_MOST_SECTORS", 4 * 128)
    source = raw(tmp_path / "source", 2 * MIB, (0, NOISE[: 2 * MIB]))
    with pytest.raises(Unsupported, match="2 TiB"):
        sparse_vmdk(source, tmp_path / "target")


def test_a_file_cut_off_is_no_vmdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The header comes last."""
    monkeypatch.setattr(sparse_vmdk_writer, "descriptor", lambda *given, **named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        sparse_vmdk(raw(tmp_path / "source", MIB, (0, TEXT)), tmp_path / "target")
    assert (tmp_path / "target").read_bytes()[:4] == bytes(4)
    assert struct.unpack_from("<I", (tmp_path / "target").read_bytes(), 22 * SECTOR) != (0,)
