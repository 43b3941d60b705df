# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._formats import stream_vmdk_writer
from ansible_collections.imageops.fleet.plugins.module_utils._formats.deflate import (
    standard_vmdk_encoder,
    vmdk_encoder,
)
from ansible_collections.imageops.fleet.plugins.module_utils._formats.encoder import Encoder

from .images import look, qemu_img
from .written import KIB, MIB, NOISE, TEXT, raw, vmdk

GIB, TIB = 1 << 30, 1 << 40
SECTOR, GRAIN = 512, 64 * KIB
MIXED = ((0, TEXT), (3 * MIB + 512, NOISE[: 200 * KIB]), (40 * MIB - 512, b"\x01" * 512))
ENCODERS = [standard_vmdk_encoder(), vmdk_encoder()]


def same(source: Path, target: Path) -> None:
    qemu_img("compare", "-q", "-f", "raw", "-F", "vmdk", str(source), str(target))


def stream_of(target: Path) -> Iterator[tuple[str, int, bytes]]:
    """The file taken apart as a stream, as ESX does: kind, place or sectors, payload."""
    data, at = target.read_bytes(), 128 * SECTOR
    while True:
        value, size, kind = struct.unpack_from("<QII", data, at)
        if size:
            yield "grain", value, zlib.decompress(data[at + 12 : at + 12 + size])
            at += -(-(12 + size) // SECTOR) * SECTOR
            continue
        at += SECTOR
        yield {0: "end", 1: "table", 2: "directory", 3: "footer"}[kind], value, data[at : at + value * SECTOR]
        at += value * SECTOR
        if kind == 0:
            assert at == len(data)
            return


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
def test_qemu_reads_what_was_written(tmp_path: Path, encoder: Encoder) -> None:
    source, target = raw(tmp_path / "source", 40 * MIB, *MIXED), tmp_path / "target"
    vmdk(source, target, encoder=encoder)
    same(source, target)
    told = json.loads(qemu_img("info", "--output=json", "-f", "vmdk", str(target)))
    assert told["format-specific"]["data"]["create-type"] == "streamOptimized"
    facts = look(target)
    assert (facts.variant, facts.virtual_size, facts.findings) == ("streamOptimized", 40 * MIB, ())


def test_the_stream_is_what_esx_wants(tmp_path: Path) -> None:
    source, target = raw(tmp_path / "source", 40 * MIB, *MIXED), tmp_path / "target"
    vmdk(source, target)
    parts = list(stream_of(target))
    places = [value for kind, value, _data in parts if kind == "grain"]
    assert places == sorted(places)
    assert [kind for kind, _value, _data in parts if kind != "grain"] == [
        "table", "table", "directory", "footer", "end",
    ]  # fmt: skip
    header, (_kind, _one, footer) = target.read_bytes()[:SECTOR], parts[-2]
    assert struct.unpack_from("<4sII", header) == (b"KDMV", 3, 0x30001)
    assert header[56:64] == b"\xff" * 8
    assert footer[:56] + footer[64:] == header[:56] + header[64:]
    directory = struct.unpack_from("<Q", footer, 56)[0] * SECTOR
    assert target.read_bytes()[directory:].startswith(parts[-3][2])


def test_tables_name_the_grains(tmp_path: Path) -> None:
    source, target = raw(tmp_path / "source", 40 * MIB, *MIXED), tmp_path / "target"
    vmdk(source, target)
    data = target.read_bytes()
    tables = [part for kind, _value, part in stream_of(target) if kind == "table"]
    entries = [entry for table in tables for entry in struct.unpack("<512I", table)]
    found = {number: struct.unpack_from("<Q", data, entry * SECTOR)[0] for number, entry in enumerate(entries) if entry}
    assert found == {number: number * 128 for number in found}
    assert len(found) == sum(kind == "grain" for kind, _value, _data in stream_of(target))


@pytest.mark.parametrize("size", [512, GRAIN - 512, GRAIN, GRAIN + 512, 32 * MIB, 32 * MIB + 1536])
def test_the_last_grain_ends_with_the_disk(tmp_path: Path, size: int) -> None:
    source, target = raw(tmp_path / "source", size, (size - 512, b"\xa5" * 512)), tmp_path / "target"
    vmdk(source, target)
    same(source, target)
    grains = [data for kind, _value, data in stream_of(target) if kind == "grain"]
    assert [len(data) for data in grains] == [size - (size - 1) // GRAIN * GRAIN]


@pytest.mark.parametrize("written", [(), ((0, bytes(3 * MIB)),)], ids=["hole", "zeros"])
def test_an_empty_disk_has_its_end_marker(tmp_path: Path, written: tuple[tuple[int, bytes], ...]) -> None:
    source, target = raw(tmp_path / "source", 3 * MIB, *written), tmp_path / "target"
    vmdk(source, target)
    same(source, target)
    assert [kind for kind, _value, _data in stream_of(target)] == ["directory", "footer", "end"]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda encoder: encoder.name)
def test_what_deflate_cannot_shrink(tmp_path: Path, encoder: Encoder) -> None:
    source, target = raw(tmp_path / "source", 2 * MIB, (0, NOISE[: 2 * MIB])), tmp_path / "target"
    vmdk(source, target, encoder=encoder)
    same(source, target)


def test_a_sparse_disk_of_a_tebibyte(tmp_path: Path) -> None:
    """QEMU takes a quarter of a minute to look at every grain of such a disk, so only what is written is looked at."""
    source = raw(tmp_path / "source", TIB, (0, TEXT[:512]), (600 * GIB, TEXT), (TIB - 512, b"\x01" * 512))
    target = tmp_path / "target"
    vmdk(source, target)
    with source.open("rb") as stream:
        for kind, value, data in stream_of(target):
            if kind == "grain":
                stream.seek(value * SECTOR)
                assert stream.read(GRAIN) == data
    assert look(target).virtual_size == TIB
    assert target.stat().st_size < 2 * MIB


def test_the_content_id_comes_from_the_content(tmp_path: Path) -> None:
    one = raw(tmp_path / "one", 40 * MIB, *MIXED)
    other = raw(tmp_path / "other", 40 * MIB, *MIXED[:-1])
    for source, target in ((one, "a"), (one, "b"), (other, "c")):
        vmdk(source, tmp_path / target)
    vmdk(one, tmp_path / "d", encoder=Encoder("other", lambda data, most: zlib.compress(data, 9)))
    texts = [(tmp_path / name).read_bytes()[SECTOR : 21 * SECTOR] for name in "abcd"]
    assert texts[0] == texts[1] == texts[3] != texts[2]
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize(("adapter", "heads"), [("ide", 16), ("lsilogic", 255), ("buslogic", 255)])
def test_adapter_and_geometry(tmp_path: Path, adapter: str, heads: int) -> None:
    source, target = raw(tmp_path / "source", 40 * MIB), tmp_path / "target"
    vmdk(source, target, adapter_type=adapter)
    text = target.read_bytes()[SECTOR : 21 * SECTOR].rstrip(b"\0").decode()
    assert f'ddb.adapterType = "{adapter}"\n' in text
    assert f'ddb.geometry.heads = "{heads}"\n' in text
    assert f'RW {40 * MIB // SECTOR} SPARSE "generated-stream.vmdk"\n' in text


def test_more_than_the_format_can_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_vmdk_writer, "_MOST_SECTORS", 1024)
    with pytest.raises(Unsupported, match="can't be larger than 2 TiB"):
        vmdk(raw(tmp_path / "source", 2 * MIB, (0, NOISE[: 2 * MIB])), tmp_path / "target")
