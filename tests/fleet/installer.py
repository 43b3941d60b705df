# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the tests' own installer: a kernel and an initramfs that put the test guest onto a disk, and an ISO image that boots them.

It installs what the test guest is. Kept under .build/fleet/guest/installer until its recipe changes.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import guest
import guest_disk
import pycdlib

HERE = Path(__file__).resolve().parent
TARGET = guest.TARGET.with_name("installer")
# Installers drive what a machine may have; the cloud kernel of the test guest has no AHCI, where drives are.
KERNEL = "linux-image-amd64"
# What ext4 asks for by another name, the drivers and file systems of answer media, and QEMU's firmware configuration device.
MODULES = ("crc32c_generic", *guest.MODULES, "qemu_fw_cfg")
LOADER = ["isolinux", "syslinux-common"]
DIRECTORIES = (*guest.DIRECTORIES, "payload")
BOOT_FILES = {
    "isolinux.bin": "usr/lib/ISOLINUX/isolinux.bin",
    "ldlinux.c32": "usr/lib/syslinux/modules/bios/ldlinux.c32",
}
MENU = f"DEFAULT install\nPROMPT 0\nTIMEOUT 0\nLABEL install\n  KERNEL /linux\n  INITRD /initrd\n  APPEND {guest_disk.KERNEL_OPTIONS}\n"


def recipe_digest() -> str:
    own = ("installer.py", "installer_init", "guest.py", "guest_disk.py", "guest_init", "guest_network", "guest_stop")
    texts = [(HERE / name).read_text() for name in own]
    return hashlib.sha256(json.dumps([KERNEL, guest.PACKAGES, guest.SOURCES, LOADER, *texts]).encode()).hexdigest()


def loader_files(scratch: Path) -> dict[str, bytes]:
    """What of isolinux an ISO image needs."""
    archive = scratch / "loader.tar"
    command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(LOADER)}", guest.SUITE, "-"]
    with archive.open("wb") as output:
        if subprocess.run([*command, *guest.SOURCES], stdout=output, check=False).returncode:
            raise SystemExit("installer: mmdebstrap could not fetch isolinux; its messages are above.")
    found = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            for name, path in BOOT_FILES.items():
                if re.search(f"(^|/){re.escape(path)}$", member.name):
                    found[name] = tar.extractfile(member).read()  # type: ignore[union-attr]
    return found


def boot_partition(files: dict[str, bytes], kernel: bytes, scratch: Path) -> bytes:
    """The partition that the installed guest boots from."""
    path = scratch / "boot"
    content = {
        "linux": kernel,
        "initrd": guest.initramfs(files),
        "syslinux.cfg": guest_disk.SYSLINUX,
        "EFI/BOOT/BOOTX64.EFI": files[guest.UEFI],
        "loader/loader.conf": guest_disk.LOADER,
        "loader/entries/guest.conf": guest_disk.ENTRY,
    }
    guest_disk.boot_partition(path, content, scratch)
    return path.read_bytes()


def initramfs(files: dict[str, bytes], modules: dict[str, bytes], boot: bytes) -> bytes:
    busybox = next(data for name, data in files.items() if name.endswith("bin/busybox"))
    entries = [(name, 0o040755, b"") for name in DIRECTORIES]
    entries += [
        ("bin/busybox", 0o100755, busybox),
        ("bin/sh", 0o120777, b"busybox"),
        ("init", 0o100755, (HERE / "installer_init").read_bytes()),
        # The new disk is empty, so the zeros at the end need not be written.
        ("payload/boot", 0o100644, boot.rstrip(b"\0")),
        ("payload/mbr", 0o100644, files[guest.MBR]),
        ("modules/order", 0o100644, guest.module_list(modules)),
    ]
    return guest.packed([*entries, *((f"modules/{name}.ko", 0o100644, data) for name, data in modules.items())])


def write_iso(target: Path, kernel: bytes, initrd: bytes, loader: dict[str, bytes]) -> None:
    """An ISO image that BIOS boots by isolinux."""
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, vol_ident="IMAGEOPS")

    def add(data: bytes, path: str, name: str) -> None:
        image.add_fp(io.BytesIO(data), len(data), iso_path=path, joliet_path=f"/{name}")

    add(kernel, "/LINUX.;1", "linux")
    add(initrd, "/INITRD.;1", "initrd")
    add(loader["isolinux.bin"], "/ISOLINUX.BIN;1", "isolinux.bin")
    add(loader["ldlinux.c32"], "/LDLINUX.C32;1", "ldlinux.c32")
    add(MENU.encode(), "/ISOLINUX.CFG;1", "isolinux.cfg")
    image.add_eltorito("/ISOLINUX.BIN;1", bootcatfile="/BOOT.CAT;1", boot_load_size=4, boot_info_table=True)
    image.write(str(target))
    image.close()


def build(target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target) as name:
        scratch = Path(name)
        files = guest.unpack_packages(scratch)
        own = guest.unpack_packages(scratch, [KERNEL])
        kernel, modules = guest.kernel_of(own), guest.load_order(own, MODULES)
        initrd = initramfs(files, modules, boot_partition(files, guest.kernel_of(files), scratch))
        write_iso(scratch / "installer.iso", kernel, initrd, loader_files(scratch))
        (scratch / "linux").write_bytes(kernel)
        (scratch / "initrd").write_bytes(initrd)
        for made in ("linux", "initrd", "installer.iso"):
            (scratch / made).rename(target / made)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=TARGET, help="the folder where it goes (default: %(default)s)")
    target = parser.parse_args().output
    stamp = target / "recipe"
    if stamp.exists() and stamp.read_text() == recipe_digest():
        print(f"installer: {target} is up to date")
        return 0
    if missing := guest_disk.tools_missing():
        raise SystemExit(f"installer: {', '.join(missing)} not found; run tests/setup first.")
    stamp.unlink(missing_ok=True)
    build(target)
    stamp.write_text(recipe_digest())
    print(f"installer: made {target} ({(target / 'installer.iso').stat().st_size >> 20} MiB)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
