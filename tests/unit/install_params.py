# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of vm_install as the module gives them, with its defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.install_spec import INSTALL

KERNEL = bytes(0x202) + b"HdrS" + bytes(600)
INITRD = b"\x1f\x8b\x08" + bytes(600)


def install_params(folder: Path, **given: Any) -> dict[str, Any]:
    """Those of an installation from the kernel and initrd in `folder`, which are made."""
    for name, data in (("linux", KERNEL), ("initrd", INITRD)):
        if not (folder / name).exists():
            (folder / name).write_bytes(data)
    named = {
        "path": str(folder / "disk.qcow2"),
        "size": "10MiB",
        "memory": "16MiB",
        "uri": "test:///default",
        "kernel": str(folder / "linux"),
        "initrd": str(folder / "initrd"),
        "space": "1MiB",
    }
    defaults = {name: option.get("default") for name, option in INSTALL.argument_spec.items()}
    return {**defaults, **named, **given}
