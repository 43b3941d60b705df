# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    InvalidOption,
    NotFound,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import digest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import convert_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of

from .._formats.images import qemu_img


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "src.raw"
    path.write_bytes(b"\1" * 65536)
    return path


def test_values_are_typed_and_canonical(source: Path, tmp_path: Path) -> None:
    given = params_of(source, tmp_path / "d", format="vpc", options={"size_rule": "mib"}, bandwidth="1M")
    request = read_request(given, Tools())
    assert (request.format, request.options, request.bandwidth) == ("vhd", {"size_rule": "mib"}, 1 << 20)
    assert request.made_from["path"] == str(source)
    assert not request.foreseen


@pytest.mark.parametrize(
    ("options", "compress", "declared"),
    [
        ({}, False, {}),
        ({"compress": True}, True, {"compression_type": "zstd", "compress": True}),
        ({"compress": "yes", "compression_type": "zlib"}, True, {"compression_type": "zlib", "compress": True}),
        ({"compress": True, "compat": 0.10}, True, {"compat": "0.10", "compress": True}),
        ({"compress": False, "compression_type": "zstd"}, False, {"compression_type": "zstd"}),
        ({"compression_type": "zstd"}, True, {"compression_type": "zstd", "compress": True}),
        ({"cluster_size": "64K"}, False, {"cluster_size": 65536}),
    ],
)
def test_compression(
    source: Path, tmp_path: Path, options: dict[str, object], compress: bool, declared: object
) -> None:
    given = dict(options)
    request = read_request(params_of(source, tmp_path / "d", options=given), Tools())
    assert (request.target.compress, request.declared) == (compress, declared)
    assert given == options


def test_equal_requests_are_equal_jobs(source: Path, tmp_path: Path) -> None:
    def job(**given: object) -> str:
        made = read_request(params_of(source, tmp_path / "d", **given), Tools()).job("1.0")
        json.dumps(made.params)
        return digest(made.params)

    first = job()
    assert first == job(timeout=5, force=True)
    assert first != job(verify="deep")
    assert first != job(options={"compress": True})
    os.utime(source, ns=(1, 1))
    assert first != job()


def test_a_foreseen_source_counts_though_an_older_file_is_there(source: Path, tmp_path: Path) -> None:
    tools = Tools()
    tools.forecast[str(source)] = {"format": "qcow2", "virtual_size": 1 << 20}
    request = read_request(params_of(source, tmp_path / "d"), tools)
    assert request.foreseen
    assert (request.source.format, request.source.virtual_size) == ("qcow2", 1 << 20)


def test_a_foreseen_source_has_the_declared_format(source: Path, tmp_path: Path) -> None:
    tools = Tools()
    tools.forecast[str(source)] = {"format": "qcow2", "virtual_size": 1 << 20}
    with pytest.raises(Conflict, match="^src_format: .* will be a qcow2 image, declared is vmdk"):
        read_request({**params_of(source, tmp_path / "d"), "src_format": "vmdk"}, tools)


def test_what_is_no_destination(source: Path, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(source)
    (tmp_path / "pipe").parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidOption, match=r"^dest: .* is the source itself"):
        read_request(params_of(source, tmp_path / "loop"), Tools())
    for name in ("pipe", "."):
        with pytest.raises(Conflict, match=r"^dest: .* is neither a regular file nor"):
            read_request(params_of(source, tmp_path / name), Tools())


def test_a_file_is_no_folder(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match=r"^dest: .*src.raw is a file, so nothing can be made in it"):
        read_request(params_of(source, source / "x"), Tools())


def test_nothing_is_made_of_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with pytest.raises(InvalidOption, match=r"^src: .*empty holds no byte of a disk"):
        read_request(params_of(tmp_path / "empty", tmp_path / "d"), Tools())


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"src": "a.raw"}, "^src: 'a.raw' is not an absolute path"),
        ({"dest": "b.raw"}, "^dest: 'b.raw' is not an absolute path"),
        ({"timeout": -1}, "^timeout: -1 seconds"),
        ({"checksum": "nonsense"}, "^checksum: 'nonsense' is not an algorithm with what it gave"),
        ({"headers": {"a": "b"}}, "^headers: is for a source with a URL, and .*src.raw is a path; leave it out"),
        ({"url_username": "u"}, "^url_username: is for a source with a URL"),
        ({"url_password": "p"}, "^url_password: is for a source with a URL"),
        ({"src_passphrase": "a\0b"}, "^src_passphrase: it holds a NUL character"),
        ({"passphrase": "a\0b", "format": "luks"}, "^passphrase: it holds a NUL character"),
        ({"bandwidth": "8192P"}, "^bandwidth: '8192P' is more than can be counted"),
        ({"src_passphrase": "p"}, "^src_passphrase: .*src.raw is not encrypted"),
    ],
)
def test_what_can_not_be_meant(source: Path, tmp_path: Path, wrong: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidOption, match=words):
        read_request({**params_of(source, tmp_path / "d"), **wrong}, Tools())


def test_sources_with_capabilities_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also below an overlay."""
    volume, overlay = tmp_path / "rbd0", tmp_path / "overlay"
    volume.write_bytes(b"\1" * 65536)
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(volume), "-F", "raw", str(overlay))
    read_request(params_of(volume, tmp_path / "d"), Tools())
    monkeypatch.setattr(convert_request, "is_block_device", lambda path: path == str(volume))
    for source, given in ((volume, {}), (overlay, {"src_backing": [str(volume)]})):
        with pytest.raises(Unsupported, match=f"^src: {volume} is a Ceph RBD image, .*; copy it into a file"):
            read_request(params_of(source, tmp_path / "d", **given), Tools())


def test_a_checksum_may_stand_in_a_list(source: Path, tmp_path: Path) -> None:
    (tmp_path / "SUMS").write_text(f"{'0' * 64}  src.raw\n{'1' * 64}  other.raw\n")
    request = read_request(params_of(source, tmp_path / "d", checksum=f"sha256:{tmp_path}/SUMS"), Tools())
    assert request.proven == {"checksum": "sha256:" + "0" * 64}
    assert request.made_from["checksum"] == request.job("1").params["checksum"] == "sha256:" + "0" * 64
    (tmp_path / "SUMS").write_text(f"{'1' * 64}  other.raw\n")
    with pytest.raises(NotFound, match="^checksum: the list .*SUMS has no sha256 digest of 'src.raw'"):
        read_request(params_of(source, tmp_path / "d", checksum=f"sha256:{tmp_path}/SUMS"), Tools())
