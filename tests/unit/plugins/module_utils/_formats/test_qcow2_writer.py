# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.deflate import (
    qcow2_encoder,
    standard_qcow2_encoder,
)
from ansible_collections.imageops.fleet.plugins.module_utils._formats.encoder import Encoder
from ansible_collections.imageops.fleet.plugins.module_utils._formats.libzstd import zstd_encoder

from .images import look, qemu_img
from .written import KIB, MIB, NOISE, TEXT, qcow2, raw

GIB, TIB = 1 << 30, 1 << 40
ZSTD = zstd_encoder()
assert ZSTD is not None
# Every encoder that a test with both is about.
KINDS = pytest.mark.parametrize("encoder", [standard_qcow2_encoder(), ZSTD], ids=lambda encoder: encoder.name)
MIXED = ((0, TEXT), (3 * MIB + 512, NOISE[: 200 * KIB]), (3 * MIB + 300 * KIB, TEXT), (6 * MIB - 512, b"\x01" * 512))


def same(source: Path, target: Path) -> None:
    """QEMU finds nothing wrong with the image, and the same content."""
    found = json.loads(qemu_img("check", "--output=json", "-f", "qcow2", str(target)))
    assert found["check-errors"] == 0
    assert not {"leaks", "corruptions"} & set(found)
    qemu_img("compare", "-q", "-f", "raw", "-F", "qcow2", str(source), str(target))


@pytest.mark.parametrize("cluster_size", [512, 1 * KIB, 4 * KIB, 32 * KIB, 64 * KIB, 2 * MIB])
@pytest.mark.parametrize(
    ("version", "encoder"),
    [(2, standard_qcow2_encoder()), (3, standard_qcow2_encoder()), (3, ZSTD)],
    ids=lambda value: value.name if isinstance(value, Encoder) else str(value),
)
def test_qemu_reads_what_was_written(tmp_path: Path, cluster_size: int, version: int, encoder: Encoder) -> None:
    source, target = raw(tmp_path / "source", 6 * MIB, *MIXED), tmp_path / "target"
    qcow2(source, target, cluster_size=cluster_size, version=version, encoder=encoder)
    same(source, target)
    told = json.loads(qemu_img("info", "--output=json", "-f", "qcow2", str(target)))
    assert told["cluster-size"] == cluster_size
    assert told["format-specific"]["data"]["compat"] == {2: "0.10", 3: "1.1"}[version]
    assert told["format-specific"]["data"]["compression-type"] == ("zstd" if encoder is ZSTD else "zlib")
    assert target.stat().st_size < MIB + 128 * KIB + 6 * cluster_size


@pytest.mark.parametrize("size", [512, 1024, 64 * KIB - 512, 64 * KIB, 64 * KIB + 512, 5 * MIB + 1536])
@KINDS
def test_a_disk_needs_no_whole_clusters(tmp_path: Path, size: int, encoder: Encoder) -> None:
    source, target = raw(tmp_path / "source", size, (size - 512, b"\xa5" * 512)), tmp_path / "target"
    qcow2(source, target, encoder=encoder)
    same(source, target)
    assert json.loads(qemu_img("info", "--output=json", str(target)))["virtual-size"] == size


@pytest.mark.parametrize("written", [(), ((0, bytes(3 * MIB)),)], ids=["hole", "zeros"])
def test_zeros_take_no_space(tmp_path: Path, written: tuple[tuple[int, bytes], ...]) -> None:
    source, target = raw(tmp_path / "source", 3 * MIB, *written), tmp_path / "target"
    qcow2(source, target)
    same(source, target)
    assert target.stat().st_size <= 4 * 64 * KIB


@KINDS
def test_what_does_not_shrink_is_stored_as_it_is(tmp_path: Path, encoder: Encoder) -> None:
    source, target = raw(tmp_path / "source", 2 * MIB, (0, NOISE[: 2 * MIB])), tmp_path / "target"
    qcow2(source, target, encoder=encoder)
    same(source, target)
    offsets = [entry for entry in json.loads(qemu_img("map", "--output=json", str(target))) if "offset" in entry]
    assert sum(entry["length"] for entry in offsets) == 2 * MIB
    assert target.stat().st_size <= 2 * MIB + 5 * 64 * KIB


@KINDS
def test_plain_and_compressed_clusters_alternate(tmp_path: Path, encoder: Encoder) -> None:
    step = 64 * KIB
    pieces = [(at, (NOISE if at // step % 2 else TEXT)[:step]) for at in range(0, 4 * MIB, step)]
    source, target = raw(tmp_path / "source", 4 * MIB, *pieces), tmp_path / "target"
    qcow2(source, target, encoder=encoder)
    same(source, target)
    # 32 clusters as they are, the others packed into the gaps: no cluster is wasted per change.
    assert target.stat().st_size <= 2 * MIB + 14 * step


def test_a_sparse_disk_of_a_tebibyte_costs_what_it_holds(tmp_path: Path) -> None:
    source = raw(tmp_path / "source", TIB, (0, TEXT[:512]), (600 * GIB, TEXT), (TIB - 512, b"\x01" * 512))
    target = tmp_path / "target"
    qcow2(source, target)
    same(source, target)
    assert target.stat().st_size < 2 * MIB


@KINDS
def test_many_tables_with_small_clusters(tmp_path: Path, encoder: Encoder) -> None:
    source = raw(tmp_path / "source", 3 * MIB, *((at, TEXT[at : at + 700]) for at in range(0, 3 * MIB, 40000)))
    target = tmp_path / "target"
    qcow2(source, target, cluster_size=512, encoder=encoder)
    same(source, target)


@KINDS
def test_the_same_content_gives_the_same_file(tmp_path: Path, encoder: Encoder) -> None:
    source = raw(tmp_path / "source", 6 * MIB, *MIXED)
    for name in ("one", "two"):
        qcow2(source, tmp_path / name, encoder=encoder)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_reports_reach_the_end_of_the_data(tmp_path: Path) -> None:
    source = raw(tmp_path / "source", 6 * MIB, *MIXED)
    told = qcow2(source, tmp_path / "target")
    assert [end for end, _read in told] == sorted(end for end, _read in told)
    assert told[-1][0] == 6 * MIB
    assert sum(read for _end, read in told) <= 6 * MIB


@pytest.mark.parametrize("encoder", [standard_qcow2_encoder(), qcow2_encoder(), ZSTD], ids=lambda encoder: encoder.name)
def test_our_own_parser_finds_nothing_wrong(tmp_path: Path, encoder: Encoder) -> None:
    source, target = raw(tmp_path / "source", 6 * MIB, *MIXED), tmp_path / "target"
    qcow2(source, target, encoder=encoder)
    same(source, target)
    facts = look(target)
    assert (facts.format, facts.virtual_size, facts.findings) == ("qcow2", 6 * MIB, ())
    assert facts.compression == ("zstd" if encoder is ZSTD else "zlib")


def test_what_is_cut_off_is_no_image(tmp_path: Path) -> None:
    def fails(data: bytes, most: int) -> bytes | None:
        raise OSError(28, "No space left on device")

    source, target = raw(tmp_path / "source", MIB, (0, TEXT)), tmp_path / "target"
    with pytest.raises(OSError, match="No space"):
        qcow2(source, target, encoder=Encoder("broken", fails))
    assert not target.read_bytes().startswith(b"QFI")
