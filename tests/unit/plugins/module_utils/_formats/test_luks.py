# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    MIB,
    create_encrypted,
    disk,
    fetch,
    look,
    patch,
    qemu_info,
    refused,
    rules,
)

OPTIONS = ["key-secret=s", "iter-time=100"]
KINDS = [
    ("", "aes", "xts-plain64", 512),
    (
        "cipher-alg=twofish-256,ivgen-alg=essiv,ivgen-hash-alg=sha256,cipher-mode=cbc",
        "twofish",
        "cbc-essiv:sha256",
        256,
    ),
]
SEGMENT = {"type": "crypt", "offset": "32768", "size": "dynamic", "encryption": "aes-xts-plain64", "sector_size": 512}
METADATA = {"keyslots": {"0": {}, "3": {}}, "segments": {"0": SEGMENT}, "digests": {}, "tokens": {}, "config": {}}


@pytest.fixture(name="made", scope="module")
def made_fixture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made once: QEMU takes its time to derive a key."""
    return create_encrypted(tmp_path_factory.mktemp("luks") / "a.luks", "luks", "3M", ",".join(OPTIONS))


@pytest.fixture(name="image")
def image_fixture(tmp_path: Path, made: Path) -> Path:
    return Path(shutil.copy(made, tmp_path))


@pytest.mark.parametrize(("options", "cipher", "mode", "bits"), KINDS, ids=[kind[0] or "default" for kind in KINDS])
def test_every_kind_is_read_as_qemu_reads_it(
    tmp_path: Path, made: Path, options: str, cipher: str, mode: str, bits: int
) -> None:
    path = create_encrypted(tmp_path / "a.luks", "luks", "3M", ",".join([*OPTIONS, options])) if options else made
    facts, info = look(path), qemu_info(path, "luks")
    details = info["format-specific"]["data"]
    assert (facts.format, facts.variant, facts.virtual_size) == ("luks", "v1", info["virtual-size"])
    assert (facts.cipher["cipher"], facts.cipher["mode"], facts.cipher["key_bits"]) == (cipher, mode, bits)
    assert (facts.cipher["hash"], facts.cipher["uuid"]) == (details["hash-alg"], details["uuid"])
    assert facts.cipher["payload_offset"] == details["payload-offset"]
    assert facts.cipher["key_slots"] == [number for number, one in enumerate(details["slots"]) if one["active"]]
    assert (rules(facts), facts.encryption) == ({"encrypted"}, "luks")
    assert rules(look(path, "luks")) == {"encrypted"} and refused(look(path, "raw")) == {"second-signature"}


ATTACKS: list[tuple[str, int, str, tuple[Any, ...], set[str]]] = [
    ("version 3", 6, ">H", (3,), {"unsupported-variant"}),
    ("cipher without end", 8, ">32s", (b"a" * 32,), {"malformed-header"}),
    ("no key", 108, ">I", (0,), {"malformed-header"}),
    ("huge key", 108, ">I", (0xFFFFFFFF,), {"malformed-header"}),
    ("payload past the end", 104, ">I", (0xFFFFFFFF,), {"truncated"}),
    ("payload in the header", 104, ">I", (1,), {"malformed-header"}),
    ("payload in the key material", 104, ">I", (16,), {"table-overlap"}),
    ("detached", 104, ">I", (0,), {"unsupported-variant"}),
    ("slot state", 208, ">I", (7,), {"malformed-header"}),
    ("slot in the header", 208 + 40, ">I", (0,), {"table-overlap"}),
    ("slot with endless stripes", 208 + 44, ">I", (0xFFFFFFFF,), {"malformed-header"}),
]


@pytest.mark.parametrize(("what", "offset", "layout", "values", "expected"), ATTACKS, ids=[a[0] for a in ATTACKS])
def test_header_attacks_are_refused(
    image: Path, what: str, offset: int, layout: str, values: tuple[Any, ...], expected: set[str]
) -> None:
    patch(image, offset, layout, *values)
    assert refused(look(image)) == expected, what


def test_two_slots_in_one_place(image: Path) -> None:
    patch(image, 208 + 48, ">II32sII", *fetch(image, 208, ">II32sII"))
    assert refused(look(image)) == {"table-overlap"}


def luks2(path: Path, told: Any = ..., *, size: int = 16384, broken: bool = False, text: bytes = b"") -> Path:
    """A header of version 2 with a right checksum, before a disk."""
    disk(path, MIB)
    area = (text or json.dumps(METADATA if told is ... else told).encode()).ljust(size - 4096, b"\0")
    uuid, algorithm = b"1b8f8f5e-0000-4000-8000-000000000000", b"sha256"
    start = struct.pack(">6sHQQ48s32s64s40s48sQ", b"LUKS\xba\xbe", 2, size, 3, b"vault", algorithm, b"", uuid, b"", 0)
    header = start.ljust(4096, b"\0") + area
    digest = bytes(32) if broken else hashlib.sha256(header).digest()
    patch(path, 0, f"{len(header)}s", header[:448] + digest.ljust(64, b"\0") + header[512:])
    return path


def test_version_2_is_described_and_refused(tmp_path: Path) -> None:
    facts = look(luks2(tmp_path / "a.luks"))
    assert (facts.format, facts.variant, facts.virtual_size) == ("luks", "v2", MIB - 32768)
    assert {key: facts.cipher[key] for key in ("cipher", "mode", "label", "key_slots")} == {
        "cipher": "aes",
        "mode": "xts-plain64",
        "label": "vault",
        "key_slots": [0, 3],
    }
    assert refused(facts) == {"unsupported-variant"}


@pytest.mark.parametrize(
    "text",
    [b"{" * 10000, b"[" * 12000, b'{"a":' * 2000, b"[]", b"\xff\xfe", b'{"keyslots":' + b"9" * 10000 + b"}", b"null"],
)
def test_no_json_breaks_the_parser(tmp_path: Path, text: bytes) -> None:
    assert refused(look(luks2(tmp_path / "a.luks", text=text))) == {"malformed-header"}


@pytest.mark.parametrize(
    "told",
    [{}, {"keyslots": [], "segments": 3}, {"segments": {"0": {"type": "crypt", "offset": "9" * 30, "size": []}}}],
)
def test_strange_metadata_is_only_described(tmp_path: Path, told: Any) -> None:
    assert refused(look(luks2(tmp_path / "a.luks", told))) == {"unsupported-variant"}


def test_a_wrong_checksum_and_a_wrong_length(tmp_path: Path) -> None:
    assert "checksum" in refused(look(luks2(tmp_path / "a.luks", broken=True)))
    path = luks2(tmp_path / "b.luks")
    patch(path, 8, ">Q", 1 << 40)
    assert refused(look(path)) == {"malformed-header"}


@pytest.mark.parametrize("more", [1, 511, 512, 513])
def test_the_end_of_a_file_is_rounded_as_qemu_does(image: Path, more: int) -> None:
    with image.open("ab") as stream:
        stream.write(bytes(more))
    assert look(image).virtual_size == qemu_info(image, "luks")["virtual-size"]
