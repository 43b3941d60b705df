# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What makes a tree of files a disk that boots by BIOS and UEFI: the guest's own GRUB, a partition table, file systems.

Nothing is mounted: the root file system is made of the tree by mke2fs, the others are written here.
"""

from __future__ import annotations

import os
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID, uuid5

from .._commands import Commands
from .._errors import EngineError, MissingLibrary, NoSpace
from .._formats.fat_writer import write_fat
from .._formats.gpt_writer import BIOS_BOOT, EFI_SYSTEM, ROOT_X86_64, SECTOR, NewPartition, write_gpt
from .._sizes import format_size
from .build_kinds import whole_disk
from .build_scripts import RUN, GuestScript

_MIB = 1 << 20
_CORE_START, _CORE_SIZE = _MIB, _MIB
_ESP_START, _ESP_SIZE = 2 * _MIB, 64 * _MIB
_ROOT_START = _ESP_START + _ESP_SIZE
_NAMESPACE = UUID("b4a5a0f2-5f0e-4d0b-9f3c-6d6f70730001")
# Where GRUB's first stage keeps the number of the sector with the second, and its jump that trusts the BIOS's number of the disk.
_KERNEL_SECTOR, _DRIVE_CHECK = 0x5C, 0x66
# The last words of the second stage's first sector: where the rest is, how long, and to which segment it is loaded.
_BLOCKLIST, _SEGMENT = 500, 0x820
_SPARE = 1.2
BOOT_CODE, CORE, EFI = f"{RUN}/boot.img", f"{RUN}/core.img", f"{RUN}/grub.efi"
_MODULES = "normal linux ext2 part_gpt part_msdos search search_fs_uuid configfile echo test serial terminal minicmd halt reboot"

_PACKAGES = r"""missing=
ls /boot/vmlinuz-* >/dev/null 2>&1 || missing="$missing linux-image-cloud-amd64"
[ -d /usr/lib/grub/i386-pc ] || missing="$missing grub-pc-bin"
[ -d /usr/lib/grub/x86_64-efi ] || missing="$missing grub-efi-amd64-bin"
command -v update-grub >/dev/null || missing="$missing grub2-common"
[ -e /sbin/init ] || missing="$missing systemd-sysv"
# Without it no file system is found by its UUID, and no terminal by its name.
command -v udevadm >/dev/null || missing="$missing udev"
if [ -n "$missing" ]; then
  command -v apt-get >/dev/null || { echo "the tree lacks what a boot needs ($missing, by Debian's names); install it by steps" >&2; exit 1; }
  if grep -q '^ID=ubuntu' /etc/os-release; then missing=$(echo "$missing" | sed 's/linux-image-cloud-amd64/linux-image-virtual/'); fi
  export DEBIAN_FRONTEND=noninteractive
  apt-get -q update
  apt-get -q -y install --no-install-recommends $missing
fi
"""
_LOADER = r"""kernel=$(ls -v /boot/vmlinuz-* | tail -n 1)
version=${{kernel#/boot/vmlinuz-}}
initrd=$(ls "/boot/initrd.img-$version" "/boot/initramfs-$version.img" 2>/dev/null | head -n 1) || :
[ -n "$initrd" ] || {{ echo "the kernel $version has no initramfs" >&2; exit 1; }}
mkdir -p /boot/grub/i386-pc /boot/grub/x86_64-efi /boot/efi /etc/default/grub.d
cp /usr/lib/grub/i386-pc/*.mod /usr/lib/grub/i386-pc/*.lst /boot/grub/i386-pc/
cp /usr/lib/grub/x86_64-efi/*.mod /usr/lib/grub/x86_64-efi/*.lst /boot/grub/x86_64-efi/
echo 'GRUB_CMDLINE_LINUX="{console}"' >/etc/default/grub.d/imageops.cfg
cat >/boot/grub/grub.cfg <<CONFIG
set timeout=1
serial --unit=0 --speed=115200
terminal_input console serial
terminal_output console serial
menuentry 'Linux $version' {{
  search --no-floppy --fs-uuid --set=root {root}
  linux $kernel root=UUID={root} ro {console}
  initrd $initrd
}}
CONFIG
cat >/etc/fstab <<FSTAB
UUID={root} / ext4 defaults,errors=remount-ro 0 1
UUID={esp} /boot/efi vfat umask=0077,nofail,x-systemd.device-timeout=20s 0 1
FSTAB
printf 'search.fs_uuid {root} root\nset prefix=($root)/boot/grub\nconfigfile $prefix/grub.cfg\n' >{run}/early.cfg
cp /usr/lib/grub/i386-pc/boot.img {boot_code}
grub-mkimage -O i386-pc -o {core} -c {run}/early.cfg -p /boot/grub biosdisk {modules}
grub-mkimage -O x86_64-efi -o {efi} -c {run}/early.cfg -p /boot/grub efi_gop all_video {modules}
"""
_CONSOLE = "console=tty0 console=ttyS0,115200"


@dataclass(frozen=True)
class Identities:
    """Identifiers of a disk, its partitions and file systems; the same recipe gives the same ones."""

    recipe: str

    def of(self, what: str) -> UUID:
        return uuid5(_NAMESPACE, f"{self.recipe} {what}")

    @property
    def esp(self) -> str:
        """The serial number of the FAT file system, as it is written."""
        text = self.of("esp").hex[:8].upper()
        return f"{text[:4]}-{text[4:]}"


def booting(identities: Identities) -> tuple[GuestScript, GuestScript]:
    """The scripts that bring what a boot needs, and that prepare the boot loader, which is done last."""
    text = _LOADER.format(
        root=identities.of("root"),
        esp=identities.esp,
        run=RUN,
        console=_CONSOLE,
        boot_code=BOOT_CODE,
        core=CORE,
        efi=EFI,
        modules=_MODULES,
    )
    return GuestScript("what a boot needs", _PACKAGES, network=True), GuestScript("boot loader", text)


def tree_size(tree: str) -> int:
    """Bytes that an ext4 file system takes for a tree."""
    total = 0
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            found = os.lstat(os.path.join(folder, name))
            total += (found.st_size + 4095) // 4096 * 4096 + 512
    return total


def disk_size(tree: str, wanted: int | None) -> int:
    """The size of the disk for a tree, with some room where none is asked for; raises NoSpace when it doesn't fit."""
    taken = tree_size(tree)
    least = _ROOT_START + int(taken * 1.05) + 32 * _MIB
    if wanted is not None and wanted < least:
        raise NoSpace(
            f"size: the files need about {format_size(least)}, and {format_size(wanted)} are asked for; give more."
        )
    found = wanted or _ROOT_START + int(taken * _SPARE) + 128 * _MIB
    return whole_disk(found)


def write_disk(
    path: str, tree: str, *, size: int, identities: Identities, loader: Mapping[str, bytes], lock: int
) -> None:
    """Write the new raw file `path`: table, boot loaders, and a root file system with the files of `tree`."""
    root_size = (size - _ROOT_START) // _MIB * _MIB - _MIB
    with open(path, "xb") as stream:
        os.fchmod(stream.fileno(), 0o600)
        stream.truncate(size)
    program = shutil.which("mke2fs") or shutil.which("mke2fs", path="/usr/sbin:/sbin")
    if program is None:
        raise MissingLibrary(
            "The program 'mke2fs' is not installed on this host; install the package e2fsprogs (Debian's name)."
        )
    uuid = str(identities.of("root"))
    argv = [
        program, "-q", "-F", "-t", "ext4", "-b", "4096", "-O", "^metadata_csum_seed,^orphan_file", "-U", uuid, "-L", "root",
        "-E", f"offset={_ROOT_START},hash_seed={uuid},lazy_itable_init=0,lazy_journal_init=0", "-d", tree, path, f"{root_size >> 10}k",
    ]  # fmt: skip
    Commands().output(argv, pass_fds=(lock,))
    with open(path, "r+b") as stream:
        write_fat(
            stream,
            at=_ESP_START,
            size=_ESP_SIZE,
            serial=int(identities.esp.replace("-", ""), 16),
            label="ESP",
            files={"EFI/BOOT/BOOTX64.EFI": loader[EFI]},
        )
        stream.seek(_CORE_START)
        stream.write(core_image(loader[CORE]))
        partitions = [
            NewPartition(BIOS_BOOT, identities.of("bios"), _CORE_START, _CORE_SIZE, "bios"),
            NewPartition(EFI_SYSTEM, identities.of("esp"), _ESP_START, _ESP_SIZE, "esp"),
            NewPartition(ROOT_X86_64, identities.of("root partition"), _ROOT_START, root_size, "root"),
        ]
        code = boot_code(loader[BOOT_CODE])
        write_gpt(stream, size=size, disk=identities.of("disk"), partitions=partitions, boot_code=code)


def boot_code(image: bytes) -> bytes:
    """GRUB's first stage, which finds the second in the BIOS boot partition."""
    if len(image) != SECTOR:
        raise EngineError("GRUB's boot.img is not one sector, and can't be used.")
    code = bytearray(image)
    struct.pack_into("<Q", code, _KERNEL_SECTOR, _CORE_START // SECTOR)
    # Some firmware gives a wrong number; two no-operations in the place of a jump let GRUB use the first disk's.
    code[_DRIVE_CHECK : _DRIVE_CHECK + 2] = b"\x90\x90"
    return bytes(code)


def core_image(image: bytes) -> bytes:
    """GRUB's second stage, which finds the rest of itself right behind its first sector."""
    if not SECTOR < len(image) <= _CORE_SIZE:
        raise EngineError(f"GRUB's core image has {len(image)} bytes, and the BIOS boot partition {_CORE_SIZE}.")
    core = bytearray(image)
    sectors = -(-len(core) // SECTOR) - 1
    struct.pack_into("<QHH", core, _BLOCKLIST, _CORE_START // SECTOR + 1, sectors, _SEGMENT)
    return bytes(core)
