# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import io
import random
import tarfile

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.tar_stream import Member, TarStream

FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
END = bytes(1024)


def head(name: str, kind: bytes, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    return info.tobuf(tarfile.GNU_FORMAT)


def record(key: str, value: str) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length += 1
    return str(length).encode() + rest


def extended(*records: bytes) -> bytes:
    data = b"".join(records)
    return head("x", b"x", len(data)) + data + bytes(-len(data) % 512)


def read_all(data: bytes, *, most: int = 1000, seed: int = 1) -> list[tuple[Member, bytes]]:
    """Members and contents, of a source that gives as little as it likes."""
    stream, lazy = io.BytesIO(data), random.Random(seed)
    tar = TarStream(lambda count: stream.read(lazy.randint(1, count)), most=most, where="the tar")
    return [(member, b"".join(iter(lambda: tar.read(700), b""))) for member in tar]


@pytest.mark.parametrize("format", FORMATS.values(), ids=FORMATS)
def test_what_tarfile_writes_is_read(format: int) -> None:
    wanted = {"short": b"", "a/" + "n" * 98: b"x" * 512, "d" * 90 + "/" + "e" * 90: b"y" * 1300}
    if format != tarfile.USTAR_FORMAT:
        wanted |= {"l" * 300: b"z", "ü": b"u"}
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=format) as archive:
        for name, content in wanted.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert {member.name: content for member, content in read_all(stream.getvalue())} == wanted


def test_contents_that_nobody_reads_are_passed_over() -> None:
    stream = io.BytesIO(head("one", b"0", 600) + b"1" * 1024 + head("two", b"0", 1) + bytes(512) + END)
    assert [member.name for member in TarStream(stream.read, most=9, where="")] == ["one", "two"]


@pytest.mark.parametrize("kind", [b"1", b"2", b"3", b"4", b"6"])
def test_links_and_devices_are_no_plain_files(kind: bytes) -> None:
    ((member, content),) = read_all(head("odd", kind, 0) + END)
    assert (member.is_plain, member.is_folder, content) == (False, False, b"")


def test_sparse_members_are_no_plain_files() -> None:
    old = bytearray(head("old", b"S", 512))
    old[482] = 1
    old[148:156] = b"%06o\0 " % (sum(old[:148]) + 256 + sum(old[156:]))
    new = extended(record("GNU.sparse.major", "1")) + head("new", b"0", 512) + bytes(512)
    found = read_all(bytes(old) + bytes(512) + b"d" * 512 + new + END)
    assert [(member.name, member.is_plain) for member, _content in found] == [("old", False), ("new", False)]


def test_a_size_in_an_extended_header_counts() -> None:
    data = extended(record("size", "700")) + head("large", b"0", 0) + b"s" * 700 + bytes(324) + END
    assert [len(content) for _member, content in read_all(data)] == [700]


def test_many_extended_headers_are_read_one_after_the_other() -> None:
    assert [
        member.name for member, _content in read_all(extended(record("a", "b")) * 3000 + head("x", b"0", 0), most=9000)
    ] == ["x"]


HOSTILE = {
    "a long extended header": head("x", b"x", 1 << 33) + END,
    "a long name": head("x", b"L", 1 << 33) + END,
    "a negative size": extended(record("size", "-5")) + head("x", b"0", 0) + END,
    "a size of letters": extended(record("size", "many")) + head("x", b"0", 0) + END,
    "a negative number": head("x", b"0", 0)[:124] + b"\xff" * 12 + END,
    "records without an end": head("x", b"x", 5) + b"0 a=b".ljust(512, b"\0") + END,
    "records that leave the header": head("x", b"x", 9) + b"99999 a=b".ljust(512, b"\0") + END,
    "another checksum": b"y" + head("x", b"0", 0)[1:] + END,
    "a cut header": head("x", b"0", 0)[:400],
    "a cut file": head("x", b"0", 5000) + bytes(700),
    "no tar": b"no tar at all " * 100,
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_what_is_no_sound_tar_is_refused_in_one_sentence(data: bytes) -> None:
    with pytest.raises(UnsafeImage, match=r"^the tar is no sound tar: [^\n]+\.$"):
        read_all(data)


def test_headers_have_a_limit() -> None:
    with pytest.raises(UnsafeImage, match="holds more than 5 files"):
        read_all(head("x", b"0", 0) * 6, most=5)
