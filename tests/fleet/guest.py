# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the test guest: a raw disk with a Debian kernel and busybox that boots by BIOS and UEFI in a few seconds.

Made from Debian packages that are only unpacked, so the result does not depend on this machine's distribution. It is
kept under .build/fleet/guest and made again only when its recipe changes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import guest_disk
from images import sources_of

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1] / ".build" / "fleet" / "guest" / "imageops-guest.raw"
SUITE = "bookworm"
SOURCES = sources_of(SUITE)
KERNEL = "linux-image-cloud-amd64"
PACKAGES = (KERNEL, "busybox-static", "syslinux-common", "systemd-boot-efi")
MODULES = (
    "virtio_pci",
    "virtio_blk",
    "virtio_scsi",
    "virtio_net",
    "virtio_rng",
    "virtio_balloon",
    "sd_mod",
    "sr_mod",
    "ata_piix",
    "ahci",
    "nvme",
    "e1000",
    "e1000e",
    "ext4",
    "isofs",
    "vfat",
    "nls_cp437",
    "nls_iso8859-1",
    "nls_ascii",
    "nls_utf8",
    "button",
    "evdev",
)
OPTIONS = {"scsi_mod": "scan=sync"}  # so that all disks are there once the drivers are loaded
UEFI = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
MBR = "usr/lib/syslinux/mbr/mbr.bin"
DIRECTORIES = ("bin", "sbin", "dev", "proc", "sys", "etc", "etc/acpi", "etc/acpi/PWRF", "tmp", "modules")


def recipe_digest() -> str:
    texts = [
        (HERE / name).read_text() for name in ("guest.py", "guest_disk.py", "guest_init", "guest_network", "guest_stop")
    ]
    return hashlib.sha256(json.dumps([PACKAGES, SOURCES, *texts]).encode()).hexdigest()


def unpack_packages(scratch: Path, packages: Sequence[str] = PACKAGES) -> dict[str, bytes]:
    """The files that we need from these of Debian's packages, by path."""
    archive = scratch / "packages.tar"
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=extract",
        f"--include={','.join(packages)}",
        SUITE,
        "-",
        *SOURCES,
    ]
    with archive.open("wb") as output:
        if subprocess.run([*sudo, *command], stdout=output, check=False).returncode:
            raise SystemExit("guest: mmdebstrap could not fetch the guest's packages; its messages are above.")
    wanted = re.compile(r"boot/vmlinuz-|lib/modules/.*\.ko$|bin/busybox$|" + re.escape(UEFI) + "|" + re.escape(MBR))
    files = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            name = member.name.lstrip("./")
            if member.isfile() and wanted.search(name):
                files[name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return files


def kernel_of(files: dict[str, bytes]) -> bytes:
    return next(data for path, data in files.items() if path.startswith("boot/vmlinuz-"))


def load_order(files: dict[str, bytes], wanted: Sequence[str] = MODULES) -> dict[str, bytes]:
    """The wanted modules after those they depend on, as their own .modinfo sections say."""
    available = {Path(name).stem.replace("-", "_"): data for name, data in files.items() if name.endswith(".ko")}
    ordered: dict[str, bytes] = {}

    def add(name: str) -> None:
        if name in ordered or name not in available:  # not there: built into the kernel, or not in this flavour
            return
        depends = re.search(rb"\0depends=([^\0]*)\0", b"\0" + available[name])
        softdeps = re.findall(rb"\0softdep=pre: ([^\0]*)\0", available[name])
        for other in re.split(rb"[, ]+", b",".join([depends.group(1) if depends else b"", *softdeps])):
            add(other.decode().replace("-", "_"))
        ordered[name] = available[name]

    for name in wanted:
        add(name.replace("-", "_"))
    return ordered


def cpio(entries: list[tuple[str, int, bytes]]) -> bytes:
    """The kernel's "newc" archive (Documentation/driver-api/early-userspace/buffer-format.rst)."""
    output = io.BytesIO()
    for number, (name, mode, data) in enumerate([*entries, ("TRAILER!!!", 0, b"")], start=1):
        fields = (number, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        output.write(b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0")
        output.write(b"\0" * (-output.tell() % 4) + data)
        output.write(b"\0" * (-output.tell() % 4))
    return output.getvalue()


def module_list(modules: Iterable[str]) -> bytes:
    """What the guest's init reads: a module and its options a line, in the order of loading."""
    return "".join(f"{name}.ko {OPTIONS.get(name, '')}\n" for name in modules).encode()


def packed(entries: list[tuple[str, int, bytes]]) -> bytes:
    """An archive as the kernel unpacks it at boot, gzip-compressed."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, 31)
    return compressor.compress(cpio(entries)) + compressor.flush()


def initramfs(files: dict[str, bytes]) -> bytes:
    modules = load_order(files)
    busybox = next(data for name, data in files.items() if name.endswith("bin/busybox"))
    entries = [(name, 0o040755, b"") for name in DIRECTORIES]
    entries += [
        ("bin/busybox", 0o100755, busybox),
        ("bin/sh", 0o120777, b"busybox"),
        ("init", 0o100755, (HERE / "guest_init").read_bytes()),
        ("network", 0o100755, (HERE / "guest_network").read_bytes()),
        ("sbin/stop", 0o100755, (HERE / "guest_stop").read_bytes()),
        ("etc/acpi/PWRF/00000080", 0o120777, b"/sbin/stop"),
        ("modules/order", 0o100644, module_list(modules)),
    ]
    return packed([*entries, *((f"modules/{name}.ko", 0o100644, data) for name, data in modules.items())])


def build(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        scratch = Path(name)
        files = unpack_packages(scratch)
        kernel = kernel_of(files)
        disk = scratch / "disk"
        guest_disk.write_disk(
            disk, kernel=kernel, initramfs=initramfs(files), uefi=files[UEFI], mbr=files[MBR], scratch=scratch
        )
        disk.rename(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=TARGET, help="where the disk goes (default: %(default)s)")
    target = parser.parse_args().output
    stamp = target.with_suffix(".recipe")
    if target.exists() and stamp.exists() and stamp.read_text() == recipe_digest():
        print(f"guest: {target} is up to date")
        return 0
    if missing := guest_disk.tools_missing():
        raise SystemExit(f"guest: {', '.join(missing)} not found; run tests/setup first.")
    build(target)
    stamp.write_text(recipe_digest())
    used = target.stat().st_blocks * 512
    print(f"guest: made {target} ({guest_disk.DISK_SIZE >> 20} MiB, {used >> 20} MiB of it used)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
