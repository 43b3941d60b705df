# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The files of a network boot: a script for iPXE, which QEMU's network cards have in them, and who may read what it names."""

from __future__ import annotations

import os

SCRIPT = "boot.ipxe"


def write_script(folder: str, arguments: str, *, initrd: bool) -> None:
    """Have the script start the kernel `linux`, with the file `initrd`, of the same folder."""
    loads = ["initrd initrd"] if initrd else []
    words = " ".join(["kernel linux", *(["initrd=initrd"] if initrd else []), arguments])
    handle = os.open(os.path.join(folder, SCRIPT), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write("\n".join(["#!ipxe", words.rstrip(), *loads, "boot"]) + "\n")


def give(folder: str, owner: tuple[int, int] | None) -> None:
    """Let the server, and nobody else, read the files; where it isn't known everybody may who knows their names."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        if owner is None:
            os.chmod(path, 0o644)
        else:
            os.chown(path, *owner)
            os.chmod(path, 0o400)
