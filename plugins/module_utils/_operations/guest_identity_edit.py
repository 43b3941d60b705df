# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A guest made another machine before its first start, by libguestfs, which edits the clone's disks while they have no name yet."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from .._errors import EngineError, Unsupported
from .._files import partial_path
from .._hypervisor.acceleration import kvm_obstacle
from .._qemu.guestfs import Guestfs
from .._qemu.guestfs_identity import give_identity, missing_sysprep
from .._qemu.node import Image
from .vm_clone_copy import CloneDisk

_SECONDS = 1200


def require_editor() -> None:
    """Raise Unsupported where no guest can be edited."""
    lacking = missing_sysprep()
    if lacking:
        raise Unsupported(
            f"identity: guests can't be edited on this host: {lacking}; install it, or give identity: seed, which cloud-init does in "
            "the guest."
        )


def edit_identity(disks: Sequence[CloneDisk], name: str, *, lock: int) -> None:
    """Give the guest on the hidden `disks` the host name `name`, and ids and keys of its own."""
    require_editor()
    emulated = bool(kvm_obstacle(arch=platform.machine()))
    images = [Image(partial_path(disk.path), disk.format) for disk in disks]
    try:
        give_identity(Guestfs(emulated, _SECONDS, (lock,)), images, name)
    except EngineError as error:
        raise EngineError(
            f"identity: the disks of {name} could not be edited, and nothing was made: {str(error).rstrip('.')}; libguestfs must find an "
            "operating system that it knows on them. Give identity: seed, or none.",
            **error.details,
        ) from None
