# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What kernels and initial RAM file systems begin with: enough to tell a wrong file before a machine is started with it."""

from __future__ import annotations

START = 1024
# Offset and bytes: Linux' boot protocol of x86, an ELF program; its headers of Arm and RISC-V, a program of UEFI, a packed one.
_X86 = ((0x202, b"HdrS"), (0, b"\x7fELF"))
_OTHERS = ((0x38, b"ARM\x64"), (0x30, b"RISCV\0\0\0"), (0, b"MZ"), (0, b"\x7fELF"), (0, b"\x1f\x8b"))
_ARCHIVES = (
    b"070701",
    b"070702",
    b"\x1f\x8b",
    b"\xfd7zXZ\0",
    b"\x28\xb5\x2f\xfd",
    b"BZh",
    b"\x02\x21\x4c\x18",
    b"\x04\x22\x4d\x18",
    b"\x89LZO",
    b"\x5d\0\0",
)


def is_kernel(start: bytes, *, arch: str) -> bool:
    """Whether a file that begins so may be a kernel that QEMU starts on this processor."""
    known = _X86 if arch in ("x86_64", "i686") else _OTHERS
    return any(start[at : at + len(magic)] == magic for at, magic in known)


def is_initrd(start: bytes) -> bool:
    """Whether a file that begins so may be an initial RAM file system, packed or not."""
    return start.startswith(_ARCHIVES)
