# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cut_link.py LISTEN GOAL TOLD [OFFSET...]: carries connections between two ports of the host, and cuts them all whenever so many bytes
came from the goal. The file TOLD says how many bytes came and how often it cut, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading

_PIECE = 1 << 14


class Link:
    """Counts what comes back, and cuts where it is told to."""

    def __init__(self, goal: int, told: str, offsets: list[int]) -> None:
        self._goal = goal
        self._told = told
        self._offsets = sorted(offsets)
        self._lock = threading.Lock()
        self._ends: set[socket.socket] = set()
        self._bytes = self._cuts = 0
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
        for source, target, back in ((near, far, False), (far, near, True)):
            threading.Thread(target=self._carry, args=(source, target, back), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, back: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(_PIECE):
                target.sendall(data)
                if back:
                    self._count(len(data))
        self._end({source, target})

    def _count(self, count: int) -> None:
        with self._lock:
            self._bytes += count
            due = bool(self._offsets) and self._bytes >= self._offsets[0]
            if due:
                self._offsets.pop(0)
                self._cuts += 1
            ends = set(self._ends) if due else set()
            self._tell()
        self._end(ends)

    def _end(self, ends: set[socket.socket]) -> None:
        with self._lock:
            self._ends -= ends
        for each in ends:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            # A thread that reads it ends by that; the last one lets it go.

    def _tell(self) -> None:
        partial = f"{self._told}.new"
        with open(partial, "w", encoding="utf-8") as stream:
            json.dump({"bytes": self._bytes, "cuts": self._cuts}, stream)
        os.replace(partial, self._told)


def main() -> None:
    listen, goal, told, *offsets = sys.argv[1:]
    Link(int(goal), told, [int(offset) for offset in offsets]).serve(int(listen))


if __name__ == "__main__":
    main()
