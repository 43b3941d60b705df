# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, InvalidOption, NotFound
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.checksum import parse_checksum
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.checksum_list import find_checksum
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.url import parse_url

A, B = hashlib.sha256(b"a").hexdigest(), hashlib.sha256(b"b").hexdigest()
A512 = hashlib.sha512(b"a").hexdigest()
SOURCE = parse_url("https://h/images/disk.img?token=x", option="src")


def test_a_digest() -> None:
    asked = parse_checksum(f" SHA256: {A.upper()} ")
    assert asked.known is not None
    assert asked.known.text == f"sha256:{A}"


def test_lists_by_url_and_path() -> None:
    asked = parse_checksum("sha512:https://h/SHA512SUMS")
    assert asked.url is not None
    assert (asked.algorithm, asked.url.text, asked.known) == ("sha512", "https://h/SHA512SUMS", None)
    assert parse_checksum("md5:/srv/MD5SUMS").path == "/srv/MD5SUMS"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (A, "not an algorithm"),
        ("sha256:", "not an algorithm"),
        (f"crc32:{A}", "not an algorithm"),
        (f"sha256:{A[:-1]}", "64 hexadecimal digits"),
        (f"sha512:{A}", "128 hexadecimal digits"),
        ("sha256:" + "g" * 64, "64 hexadecimal digits"),
        ("sha256:ftp://h/x", "'ftp'"),
        ("sha256:https://u:p@h/x", "url_username"),
    ],
)
def test_refused(text: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        parse_checksum(text)


@pytest.mark.parametrize(
    "text",
    [
        f"{A}  disk.img\n{B}  other.img\n",
        f"{A} *disk.img",
        f"{A}  ./disk.img",
        f"\\{A}  disk.img",
        f"{A.upper()}  disk.img\r\n",
        f"SHA256 (disk.img) = {A}\nSHA512 (disk.img) = {A512}\n",
        f"{A}\n",
        f"{A}  -\n",
        f"{A}  disk.img\n{A}  old/disk.img\n",
        f"{B}  old/disk.img\n{A}  disk.img\n",
        f"{A512}  disk.img\n{A}  disk.img\n",
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\n# disk.img: 5 bytes\nSHA256 (disk.img) = {A}\n-----END\n",
    ],
)
def test_found_in_a_list(text: str) -> None:
    found = find_checksum(text, algorithm="sha256", source=SOURCE, where="https://h/images/SHA256SUMS")
    assert found.text == f"sha256:{A}"


@pytest.mark.parametrize(
    ("text", "kind", "said"),
    [
        ("", NotFound, "has no sha256 digest of 'disk.img'"),
        (f"{A}  disk.img.xz", NotFound, "has no sha256"),
        (f"{A512}  disk.img", NotFound, "has no sha256"),
        ("<html>not found</html>", NotFound, "has no sha256"),
        (f"{A}\n{B}\n", Conflict, "2 different"),
        (f"{A}  x/disk.img\n{B}  y/disk.img\n", Conflict, "2 different"),
    ],
)
def test_not_found_in_a_list(text: str, kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        find_checksum(text, algorithm="sha256", source=SOURCE, where="https://h/images/SHA256SUMS")
