# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Named moments at which a test can make our code fail; inert unless a test's environment variable is set."""

from __future__ import annotations

import errno
import os
import signal
import time

FAULT_VARIABLE = "IMAGEOPS_FAULT"
_HANG_SECONDS = 3600.0


def fault_point(name: str) -> None:
    """Fail here when IMAGEOPS_FAULT is `<name>:<how>`; how is kill (SIGKILL), full (ENOSPC), broken (EIO) or hang.

    A name is `<operation>:<moment>`, such as `convert:before-rename`. Jobs inherit the variable.
    """
    wanted = os.environ.get(FAULT_VARIABLE, "")
    if not wanted.startswith(f"{name}:"):
        return
    how = wanted[len(name) + 1 :]
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "hang":
        time.sleep(_HANG_SECONDS)
    number = {"full": errno.ENOSPC, "broken": errno.EIO}.get(how)
    if number is not None:
        raise OSError(number, os.strerror(number), f"fault point {name}")
