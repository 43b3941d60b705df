# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._portable.manifest import manifest, parse_manifest

ONE = "a" * 64


def test_what_is_written_is_read() -> None:
    text = manifest({"a b.ovf": ONE, "x.vmdk": "b" * 64})
    assert text.decode() == f"SHA256(a b.ovf)= {ONE}\nSHA256(x.vmdk)= {'b' * 64}\n"
    assert parse_manifest(text, where="x") == {"a b.ovf": ("sha256", ONE), "x.vmdk": ("sha256", "b" * 64)}


@pytest.mark.parametrize(
    "line",
    [f"SHA1(x)= {'A' * 40}", f"SHA1 (x) = {'a' * 40}", f"SHA1(x)={'a' * 40}\r", f"\n\nSHA1(x)= {'a' * 40}\n\n"],
)
def test_what_others_write(line: str) -> None:
    assert parse_manifest(line.encode(), where="x") == {"x": ("sha1", "a" * 40)}


@pytest.mark.parametrize(
    "data",
    [
        b"hello",
        b"\xff\xfe",
        f"MD5(x)= {'a' * 32}".encode(),
        f"SHA256(x)= {'a' * 40}".encode(),
        f"SHA256(x)= {'g' * 64}".encode(),
        f"SHA256(x)= {ONE}\nSHA1(x)= {'a' * 40}".encode(),
        f"SHA256()= {ONE}".encode(),
        f"SHA256({'x' * 256})= {ONE}".encode(),
        f"SHA256(x\x00y)= {ONE}".encode(),
        "\n".join(f"SHA256({number})= {ONE}" for number in range(5000)).encode(),
    ],
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(UnsafeImage, match="^The manifest of x can't be used: "):
        parse_manifest(data, where="x")
