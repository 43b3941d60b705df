# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The UEFI variables that go along with an external snapshot: a copy beside its overlay, and back again."""

from __future__ import annotations

import filecmp
import os

from .._errors import Conflict
from .._files import partial_path, publish, remove, write_bytes
from .file_copy import copy_attributes

# OVMF's largest store of variables is 4 MiB; in a qcow2 image it takes a little more.
_MOST = 16 << 20


def keep_nvram(nvram: str, copy: str) -> None:
    """Keep the variables as they are now."""
    write_bytes(copy, _content(nvram))


def nvram_changed(nvram: str, copy: str) -> bool:
    """Whether the guest wrote to its variables since they were kept."""
    return not filecmp.cmp(nvram, copy, shallow=False)


def bring_back_nvram(copy: str, nvram: str) -> None:
    """Give a stopped VM the variables that were kept: old or new content at every moment, owner and mode as they were."""
    partial = partial_path(nvram)
    remove(partial)
    write_bytes(partial, _content(copy))
    if os.path.exists(nvram):
        with open(nvram, "rb") as old, open(partial, "rb") as new:
            copy_attributes(old.fileno(), new.fileno())
    publish(partial, nvram)


def _content(path: str) -> bytes:
    with open(path, "rb") as stream:
        found = stream.read(_MOST + 1)
    if len(found) > _MOST:
        raise Conflict(f"vm: {path} is larger than 16 MiB, which no file of UEFI variables is; look at it.")
    return found
