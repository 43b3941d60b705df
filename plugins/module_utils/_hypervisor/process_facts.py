# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel tells of a process (proc(5)): whose it is, and whether somebody listens at a socket where it runs."""

from __future__ import annotations

import os

# __SO_ACCEPTCON of linux/net.h.
_LISTENING = 0x10000


def owner_of(pid: int) -> tuple[int, int]:
    """The effective user and group: what it shall write must be theirs. Ourselves when it can't be told, as with a daemon of our own."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as stream:
            fields = dict(line.split(":", 1) for line in stream if ":" in line)
    except OSError:
        return os.geteuid(), os.getegid()
    return int(fields["Uid"].split()[1]), int(fields["Gid"].split()[1])


def listens_at(pid: int, socket: str) -> bool:
    """Whether somebody listens at the Unix socket, in the process' network namespace, also when its file was removed since."""
    try:
        with open(f"/proc/{pid}/net/unix", encoding="utf-8", errors="replace") as stream:
            rows = [line.split(maxsplit=7) for line in stream]
    except OSError:
        return False
    return any(row[7].rstrip("\n") == socket and int(row[3], 16) & _LISTENING for row in rows[1:] if len(row) == 8)
