# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A link that can be cut: a port of this machine whose connections are carried to a fleet host."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

_PIECE = 1 << 16


class Relay:
    """Carries connections until it is cut (they end, new ones are refused) or mute (nothing comes through any more)."""

    def __init__(self, address: str, *, listen: int = 0) -> None:
        self._goal = (address, 22)
        self._listener = socket.create_server(("127.0.0.1", listen))
        self.port: int = self._listener.getsockname()[1]
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._ends: dict[socket.socket, socket.socket] = {}
        self._over = threading.Event()
        self._mute = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    @property
    def ports(self) -> list[int]:
        """From which ports of this machine the host sees the connections."""
        return [end.getsockname()[1] for end in list(self._ends) if end.getpeername() == self._goal]

    def mute(self) -> None:
        """From now on carry nothing, and end nothing."""
        self._mute.set()

    def cut(self) -> None:
        """End all connections and take no more."""
        self._over.set()
        self._thread.join(5)
        for end in [*self._ends, self._listener]:
            with contextlib.suppress(OSError):
                end.close()

    def _carry(self) -> None:
        while not self._over.is_set():
            for key, _events in self._selector.select(0.1):
                if self._mute.is_set():
                    self._over.wait(0.1)
                elif key.fileobj is self._listener:
                    self._take()
                else:
                    self._pass_on(key.fileobj)  # type: ignore[arg-type]

    def _take(self) -> None:
        near, _address = self._listener.accept()
        far = socket.create_connection(self._goal)
        self._ends.update({near: far, far: near})
        for end in (near, far):
            self._selector.register(end, selectors.EVENT_READ)

    def _pass_on(self, end: socket.socket) -> None:
        other = self._ends.get(end)
        if other is None:
            return
        with contextlib.suppress(OSError):
            data = end.recv(_PIECE)
            if data:
                other.sendall(data)
                return
        for each in (end, other):
            self._selector.unregister(each)
            del self._ends[each]
            each.close()
