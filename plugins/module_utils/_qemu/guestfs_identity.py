# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""virt-sysprep: what tells a guest's operating system apart from others is removed or made anew, while the guest doesn't run."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence

from .._errors import InvalidOption
from .guestfs import Guestfs, not_installed
from .node import Image

_PROGRAM = "virt-sysprep"
# machine-id also decides the DHCP ids of systemd-networkd and NetworkManager.
_OPERATIONS = ("machine-id", "ssh-hostkeys", "dhcp-client-state", "udev-persistent-net", "customize")
# sshd doesn't start without keys, and not every distribution makes them at the next start.
_NEW_KEYS = "if command -v ssh-keygen >/dev/null; then ssh-keygen -A; fi"
# RFC 1123, and so nothing that virt-sysprep could take for something else.
_HOST_NAME = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?\Z")


def missing_sysprep() -> str:
    """Which program this host lacks, as a sentence; empty when it is there."""
    return not_installed([] if shutil.which(_PROGRAM) else [_PROGRAM])


def require_host_name(name: str) -> None:
    """Raise InvalidOption for a name that no host can have."""
    if not _HOST_NAME.match(name):
        raise InvalidOption(
            f"name: {name} can't be a host name (letters, digits, dots and hyphens, 64 at most), and with identity: edit the guest gets it."
        )


def give_identity(guestfs: Guestfs, images: Sequence[Image], name: str) -> None:
    """Change the guest on `images` in place: host name, machine-id, SSH host keys, leases, and cloud-init's memory."""
    require_host_name(name)
    disks = [word for image in images for word in (f"--format={image.driver}", "-a", image.path)]
    how = ["--operations", ",".join(_OPERATIONS), "--hostname", name, "--delete", "/var/lib/cloud"]
    guestfs.run([_PROGRAM, "--quiet", "--no-network", *disks, *how, "--run-command", _NEW_KEYS])
