# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real qemu-nbd on a socket that listens before it starts: nobody waits for it, and no port has to be guessed."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

# It takes the socket over as it would from systemd, sd_listen_fds(3).
_START = 'exec 3<&0 </dev/null; exec env LISTEN_FDS=1 LISTEN_PID=$$ qemu-nbd "$@"'


def unix_listener(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


@contextlib.contextmanager
def exporting(listener: socket.socket, *arguments: str | Path) -> Iterator[None]:
    """A qemu-nbd with these arguments that many may ask, until the end of the block."""
    with listener:
        process = subprocess.Popen(["sh", "-c", _START, "qemu-nbd", "-t", *arguments], stdin=listener)
    try:
        yield
    finally:
        process.kill()
        process.wait()
