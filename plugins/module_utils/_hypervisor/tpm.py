# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An emulated TPM 2.0, whose state libvirt keeps on the host."""

from __future__ import annotations

from .xml import Element, put


def has_tpm(root: Element) -> bool:
    """Whether the domain has a TPM of any kind."""
    return root.find("devices/tpm") is not None


def set_tpm(root: Element, *, arch: str) -> None:
    """Have a TPM 2.0 that swtpm emulates; one that is there stays."""
    if has_tpm(root):
        return
    put(root, "devices/tpm/@model", "tpm-crb" if arch == "x86_64" else "tpm-tis")
    put(root, "devices/tpm/backend/@type", "emulator")
    put(root, "devices/tpm/backend/@version", "2.0")
