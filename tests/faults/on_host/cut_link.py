# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cut_link.py LISTEN GOAL TOLD WHICH [OFFSET...]: carries connections between two ports of the host, and cuts them all whenever so many
bytes (WHICH: `came`) came from the goal, or (`went`) went there. The file TOLD says how many did either, and how often it cut, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time

_PIECE = 1 << 16
# How often the file is written while bytes pass.
_TELLS = 0.05


class Link:
    """Counts what goes and what comes back, and cuts where it is told to."""

    def __init__(self, goal: int, told: str, which: str, offsets: list[int]) -> None:
        self._goal = goal
        self._told = told
        self._which = which
        self._offsets = sorted(offsets)
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._bytes = {"came": 0, "went": 0}
        self._cuts = 0
        self._told_at = 0.0
        self._tell()

    def serve(self, port: int) -> None:
        with socket.create_server(("127.0.0.1", port)) as listener:
            while True:
                near = listener.accept()[0]
                with contextlib.suppress(OSError):
                    self._join(near, socket.create_connection(("127.0.0.1", self._goal)))
                    continue
                near.close()

    def _join(self, near: socket.socket, far: socket.socket) -> None:
        with self._lock:
            self._ends |= {near, far}
        for source, target, way in ((near, far, "went"), (far, near, "came")):
            threading.Thread(target=self._carry, args=(source, target, way), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                target.sendall(data)
                self._count(way, len(data))
        self._end({source, target})

    def _count(self, way: str, count: int) -> None:
        with self._lock:
            self._bytes[way] += count
            due = bool(self._offsets) and self._bytes[self._which] >= self._offsets[0]
            if due:
                self._offsets.pop(0)
                self._cuts += 1
            ends = set(self._ends) if due else set()
            if due or time.monotonic() - self._told_at > _TELLS:
                self._tell()
        self._end(ends)

    def _end(self, ends: set[socket.socket]) -> None:
        with self._lock:
            self._ends -= ends
            self._tell()
        for each in ends:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            # A thread that reads it ends by that; the last one lets it go.

    def _tell(self) -> None:
        self._told_at = time.monotonic()
        partial = f"{self._told}.new"
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump({**self._bytes, "cuts": self._cuts}, stream)
        os.replace(partial, self._told)


def main() -> None:
    listen, goal, told, which, *offsets = sys.argv[1:]
    Link(int(goal), told, which, [int(offset) for offset in offsets]).serve(int(listen))


if __name__ == "__main__":
    main()
