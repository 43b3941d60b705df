# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets a guest count on its disks, by typing at its serial console: writer.py PATH-OF-SOCKET-OR-TERMINAL

Each number goes to the beginning of vdb, then to its end, then to vdc, each time through to the disk.
"""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import time
import tty

PROMPT, DONE = b"guest# ", b"counting"
PUT = "printf '%-16s' $n | dd of=/dev/{} conv=fsync,notrunc 2>/dev/null"
COUNT = f"(n=0; while :; do n=$((n+1)); {PUT.format('vdb')}; {PUT.format('vdb bs=1M seek=31')}; {PUT.format('vdc')}; done) & echo coun''ting"


def connect(path: str) -> int:
    if stat.S_ISSOCK(os.stat(path).st_mode):
        connected = socket.socket(socket.AF_UNIX)
        connected.connect(path)
        return connected.detach()
    terminal = os.open(path, os.O_RDWR | os.O_NOCTTY)
    tty.setraw(terminal)
    return terminal


def said(line: int, text: bytes, *, seconds: float) -> bool:
    """Whether the guest says that in time."""
    heard = b""
    deadline = time.monotonic() + seconds
    while text not in heard and time.monotonic() < deadline:
        if select.select([line], [], [], 0.1)[0]:
            heard += os.read(line, 65536)
    return text in heard


def main() -> int:
    line = connect(sys.argv[1])
    for _turn in range(400):
        os.write(line, b"\n")
        if said(line, PROMPT, seconds=1.5):
            os.write(line, COUNT.encode() + b"\n")
            return 0 if said(line, DONE, seconds=600) else 1
    return 1


if __name__ == "__main__":
    sys.exit(main())
