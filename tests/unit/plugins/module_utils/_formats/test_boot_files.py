# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._formats.boot_files import is_initrd, is_kernel


@pytest.mark.parametrize(
    ("start", "kernel", "initrd"),
    [
        (b"\0" * 0x202 + b"HdrS", True, False),
        (b"\x7fELF", True, False),
        (b"\x1f\x8b\x08", False, True),
        (b"070701", False, True),
        (b"\xfd7zXZ\0", False, True),
        (b"\x28\xb5\x2f\xfd", False, True),
        (b"#!/bin/sh\n", False, False),
        (b"", False, False),
    ],
)
def test_what_a_file_may_be(start: bytes, kernel: bool, initrd: bool) -> None:
    assert (is_kernel(start, arch="x86_64"), is_initrd(start)) == (kernel, initrd)


@pytest.mark.parametrize("start", [b"MZ" + bytes(54) + b"ARM\x64", b"\x1f\x8b\x08", b"MZ"])
def test_kernels_of_other_processors(start: bytes) -> None:
    assert is_kernel(start, arch="aarch64")
