# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two folders that change their names at one moment (renameat2(2), RENAME_EXCHANGE): no reader finds neither, or a mix."""

from __future__ import annotations

import ctypes
import errno
import os

from .._errors import Unsupported, system_error

_HERE, _EXCHANGE = -100, 2


def exchange(one: str, other: str) -> None:
    """Give each the other's name; raises Unsupported where library or file system can't."""
    library = ctypes.CDLL(None, use_errno=True)
    function = getattr(library, "renameat2", None)
    if function is None:
        raise _unsupported(other)
    if function(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE) == 0:
        return
    number = ctypes.get_errno()
    if number in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        raise _unsupported(other)
    raise system_error(OSError(number, os.strerror(number), other))


def _unsupported(path: str) -> Unsupported:
    return Unsupported(
        f"dest: the file system of {path} can't replace a whole folder at one moment; remove the folder first, or give another path."
    )
