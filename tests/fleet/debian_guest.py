# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Builds the Debian guest: a qcow2 disk with systemd, cloud-init, sshd and QEMU's guest agent, for tests that need a real one.

It boots by BIOS and UEFI to a login prompt on the serial console; root's password there is `imageops`. It is kept under
.build/fleet/guest and made again only when its recipe changes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import guest
import guest_disk
from images import DPKG_OPTIONS, sources_of

HERE = Path(__file__).resolve().parent
TARGET = guest.TARGET.with_name("imageops-debian.qcow2")
SUITE = "bookworm"
PACKAGES = [
    "cloud-init",
    "dbus",
    "iproute2",
    "kmod",
    "openssh-server",
    "procps",
    "qemu-guest-agent",
    "systemd",
    "systemd-sysv",
    "udev",
]
MODULES = [*guest.MODULES, "virtio_console", "qemu_fw_cfg", "dm_mod", "loop", "autofs4", "psmouse"]
DIRECTORIES = ("bin", "sbin", "dev", "proc", "sys", "etc", "tmp", "modules")
LABEL = "imageops-root"
ROOT_SIZE = 768 << 20


def recipe_digest() -> str:
    own = ("debian_guest.py", "debian_guest_init", "debian_guest_customize", "guest.py", "guest_disk.py")
    texts = [(HERE / name).read_text() for name in own]
    return hashlib.sha256(json.dumps([PACKAGES, sources_of(SUITE), *DPKG_OPTIONS, *texts]).encode()).hexdigest()


def as_root(*argv: str | Path) -> None:
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    command = [*sudo, *map(str, argv)]
    if subprocess.run(command, check=False).returncode:
        raise SystemExit(f"debian_guest: {argv[0]} failed; its messages are above.")


def root_partition(path: Path, scratch: Path) -> None:
    """An ext4 file system with Debian on it; nothing is mounted."""
    tree = scratch / "tree"
    path.touch()  # else mke2fs says that it makes it
    command = [
        "mmdebstrap", "--quiet", "--variant=essential", "--format=directory", f"--include={','.join(PACKAGES)}",
        *(f"--dpkgopt={option}" for option in DPKG_OPTIONS),
        f"--customize-hook={HERE / 'debian_guest_customize'}",
        "--customize-hook=echo root:imageops | chroot $1 chpasswd",
        SUITE, tree, *sources_of(SUITE),
    ]  # fmt: skip
    as_root(*command)
    try:
        as_root("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-O", "^metadata_csum_seed,^orphan_file",
                "-L", LABEL, "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=16",
                "-d", tree, path, f"{ROOT_SIZE >> 10}k")  # fmt: skip
    finally:
        as_root("rm", "-rf", tree)


def initramfs(files: dict[str, bytes]) -> bytes:
    modules = guest.load_order(files, MODULES)
    busybox = next(data for name, data in files.items() if name.endswith("bin/busybox"))
    entries = [(name, 0o040755, b"") for name in DIRECTORIES]
    entries += [
        ("bin/busybox", 0o100755, busybox),
        ("bin/sh", 0o120777, b"busybox"),
        ("init", 0o100755, (HERE / "debian_guest_init").read_bytes()),
        ("modules/order", 0o100644, guest.module_list(modules)),
    ]
    return guest.packed([*entries, *((f"modules/{name}.ko", 0o100644, data) for name, data in modules.items())])


def build(target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as name:
        scratch = Path(name)
        root, raw, disk = scratch / "root", scratch / "raw", scratch / "disk"
        root_partition(root, scratch)
        files = guest.unpack_packages(scratch)
        guest_disk.assemble(
            raw,
            second=root,
            kernel=guest.kernel_of(files),
            initramfs=initramfs(files),
            uefi=files[guest.UEFI],
            mbr=files[guest.MBR],
            scratch=scratch,
        )
        # Compressed: it goes to hosts over SSH, and is read once or twice.
        guest_disk.run(
            "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", "-o", "compression_type=zstd", raw, disk
        )
        disk.rename(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=TARGET, help="where the disk goes (default: %(default)s)")
    target = parser.parse_args().output
    stamp = target.with_suffix(".recipe")
    if target.exists() and stamp.exists() and stamp.read_text() == recipe_digest():
        print(f"debian_guest: {target} is up to date")
        return 0
    if missing := guest_disk.tools_missing():
        raise SystemExit(f"debian_guest: {', '.join(missing)} not found; run tests/setup first.")
    began = time.monotonic()
    build(target)
    stamp.write_text(recipe_digest())
    print(f"debian_guest: made {target} ({target.stat().st_size >> 20} MiB, {time.monotonic() - began:.0f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
