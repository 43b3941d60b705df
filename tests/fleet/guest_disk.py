# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts a kernel and an initramfs on a raw disk that BIOS and UEFI firmware boot; nothing is mounted, no root needed."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

MIB = 1 << 20
BOOT_START, BOOT_SIZE = 1 * MIB, 32 * MIB
STATE_START, STATE_SIZE = 33 * MIB, 8 * MIB
DISK_SIZE = STATE_START + STATE_SIZE + MIB
SECTOR = 512

# All times and identifiers are fixed, so that the same inputs give the same bytes.
EPOCH = "1767225600"
ENVIRONMENT = {
    **os.environ,
    "SOURCE_DATE_EPOCH": EPOCH,
    "E2FSPROGS_FAKE_TIME": EPOCH,
    "TZ": "UTC",
    "MTOOLS_SKIP_CHECK": "1",
}
STATE_UUID = "6d6f7073-7374-4174-8565-696d6167656f"

KERNEL_OPTIONS = "console=ttyS0 quiet loglevel=3 panic=5 mitigations=off nokaslr no_timer_check"
SYSLINUX = (
    f"DEFAULT guest\nPROMPT 0\nTIMEOUT 0\nLABEL guest\n  KERNEL /linux\n  INITRD /initrd\n  APPEND {KERNEL_OPTIONS}\n"
).encode()
LOADER = b"timeout 0\ndefault guest.conf\neditor no\n"
ENTRY = f"title guest\nlinux /linux\ninitrd /initrd\noptions {KERNEL_OPTIONS}\n".encode()


def run(*argv: str | Path, stdin: bytes = b"") -> None:
    done = subprocess.run([str(word) for word in argv], input=stdin, capture_output=True, env=ENVIRONMENT, check=False)
    if done.returncode:
        raise SystemExit(f"guest: {argv[0]} failed: {done.stderr.decode().strip()}")


def partition_table(boot_code: bytes, second_size: int) -> bytes:
    """An MBR with two entries; the active one has type EF, which UEFI takes for its system partition."""

    def entry(active: int, kind: int, start: int, size: int) -> bytes:
        unused_geometry = b"\xfe\xff\xff"
        return struct.pack("<B3sB3sII", active, unused_geometry, kind, unused_geometry, start // SECTOR, size // SECTOR)

    entries = entry(0x80, 0xEF, BOOT_START, BOOT_SIZE) + entry(0x00, 0x83, STATE_START, second_size)
    signature = struct.pack("<IH", 0x696F7067, 0)
    return boot_code[:440].ljust(440, b"\0") + signature + entries.ljust(64, b"\0") + b"\x55\xaa"


def boot_partition(path: Path, files: dict[str, bytes], scratch: Path) -> None:
    """FAT with syslinux for BIOS, systemd-boot for UEFI; both load the same kernel."""
    with path.open("wb") as stream:
        stream.truncate(BOOT_SIZE)
    run("mformat", "-i", path, "-v", "IMAGEOPS", "-N", "696d6f70", "-h", "64", "-s", "32", "-T", str(BOOT_SIZE // SECTOR),
        "-H", str(BOOT_START // SECTOR), "::")  # fmt: skip
    for directory in ("::/EFI", "::/EFI/BOOT", "::/loader", "::/loader/entries"):
        run("mmd", "-i", path, directory)
    for name, content in files.items():
        source = scratch / "file"
        source.write_bytes(content)
        os.utime(source, (int(EPOCH), int(EPOCH)))
        run("mcopy", "-m", "-i", path, source, f"::/{name}")
    run("syslinux", "--install", path)


def state_partition(path: Path) -> None:
    options = ("-U", STATE_UUID, "-E", f"hash_seed={STATE_UUID},root_owner=0:0,lazy_itable_init=0")
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "1024", "-O", "^metadata_csum_seed,^orphan_file", "-L", "imageops-state",
        *options, path, f"{STATE_SIZE // 1024}k")  # fmt: skip


def write_disk(target: Path, *, kernel: bytes, initramfs: bytes, uefi: bytes, mbr: bytes, scratch: Path) -> None:
    """The test guest's disk: the partition that it boots from, and the one on which it keeps its state."""
    state = scratch / "state"
    state_partition(state)
    assemble(target, second=state, kernel=kernel, initramfs=initramfs, uefi=uefi, mbr=mbr, scratch=scratch)


def assemble(
    target: Path, *, second: Path, kernel: bytes, initramfs: bytes, uefi: bytes, mbr: bytes, scratch: Path
) -> None:
    """A disk that boots by BIOS and UEFI, and whose second partition is the content of `second`."""
    boot = scratch / "boot"
    files = {
        "linux": kernel,
        "initrd": initramfs,
        "syslinux.cfg": SYSLINUX,
        "EFI/BOOT/BOOTX64.EFI": uefi,
        "loader/loader.conf": LOADER,
        "loader/entries/guest.conf": ENTRY,
    }
    boot_partition(boot, files, scratch)
    size = second.stat().st_size
    with target.open("wb") as disk:
        disk.truncate(STATE_START + size + MIB)
        disk.write(partition_table(mbr, size))
    for part, start in ((boot, BOOT_START), (second, STATE_START)):
        copy_sparse(part, target, start)


def copy_sparse(source: Path, target: Path, start: int) -> None:
    """Copy all but the zeros, so that the disk has holes where nothing is."""
    with source.open("rb") as reader, target.open("r+b") as writer:
        for offset in range(0, source.stat().st_size, 65536):
            piece = reader.read(65536)
            if piece.strip(b"\0"):
                writer.seek(start + offset)
                writer.write(piece)
        writer.flush()
        os.fsync(writer.fileno())


def tools_missing() -> list[str]:
    return [tool for tool in ("mformat", "syslinux", "mke2fs", "mmdebstrap") if shutil.which(tool) is None]
