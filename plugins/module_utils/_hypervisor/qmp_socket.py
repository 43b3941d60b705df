# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A QMP session with the QEMU process behind a socket that has a name."""

from __future__ import annotations

import os
import socket
import stat
import struct

from .._errors import Conflict, EngineError, ImageOpsError, NotFound
from .._qmp.client import Qmp, library

# A healthy QEMU answers at once; one that writes to a slow disk may not for some seconds.
COMMAND_TIMEOUT = 15.0
# struct ucred of unix(7): process, user and group of the other side.
_CREDENTIALS = struct.Struct("3i")


def open_session(path: str) -> tuple[Qmp, int]:
    """Connect to the socket; the session, and the number of the process. Raises NotFound when no process listens, Conflict for what isn't ours, EngineError."""
    library()
    _require_ours(path)
    connected = _connect(path)
    try:
        pid, user = _peer(connected)
        _require_trusted(user, path)
        session = Qmp(connected, f"QEMU at {path}", timeout=COMMAND_TIMEOUT)
    except ImageOpsError as error:
        connected.close()
        if isinstance(error, Conflict):
            raise
        raise EngineError(
            f"socket: what listens at {path} doesn't greet as QEMU's monitor does (-qmp unix:{path},server=on,wait=off); another "
            f"program may be connected to it, since it serves one at a time."
        ) from None
    return session, pid


def _require_ours(path: str) -> None:
    try:
        found = os.stat(path)
    except OSError:
        raise _nobody(path) from None
    if not stat.S_ISSOCK(found.st_mode):
        raise Conflict(f"socket: {path} is no unix socket; give the path in QEMU's option -qmp unix:PATH.")
    _require_trusted(found.st_uid, path)


def _require_trusted(owner: int, path: str) -> None:
    """Names of files come from the other side, and are worked on with our rights."""
    if owner not in (0, os.geteuid()):
        raise Conflict(
            f"socket: {path} belongs to the user {owner}, and only root's or this user's own are trusted; run the task as that "
            f"user (become_user)."
        )


def _connect(path: str) -> socket.socket:
    connected = socket.socket(socket.AF_UNIX)
    try:
        connected.settimeout(COMMAND_TIMEOUT)
        connected.connect(path)
    except (ConnectionRefusedError, FileNotFoundError):
        connected.close()
        raise _nobody(path) from None
    except OSError as error:
        connected.close()
        raise EngineError(f"socket: can't connect to {path}: {error}.") from None
    return connected


def _peer(connected: socket.socket) -> tuple[int, int]:
    """The process that listens, and its user when it began to."""
    data = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, user, _group = _CREDENTIALS.unpack(data)
    return pid, user


def _nobody(path: str) -> NotFound:
    return NotFound(
        f"socket: no process listens at {path}; start QEMU with -qmp unix:{path},server=on,wait=off, or correct the path."
    )
