# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.screenshot import screenshot


class Stream:
    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.ended = ""

    def recv(self, size: int) -> bytes:
        return self.pieces.pop(0) if self.pieces else b""

    def finish(self) -> None:
        self.ended = "finished"

    def abort(self) -> None:
        self.ended = "aborted"


def take(stream: Stream, most: int) -> bytes:
    raw = SimpleNamespace(screenshot=lambda given, screen, flags: "image/x-portable-pixmap")
    connection: Any = SimpleNamespace(raw=SimpleNamespace(newStream=lambda flags: stream))
    domain: Any = SimpleNamespace(raw=raw, name="web")
    return screenshot(connection, domain, screen=0, most=most)


def test_all_pieces_come_together() -> None:
    stream = Stream(b"ab", b"c")
    assert take(stream, 3) == b"abc"
    assert stream.ended == "finished"


def test_what_does_not_end_is_refused() -> None:
    stream = Stream(b"ab", b"cd", b"ef")
    with pytest.raises(UnsafeImage, match="more than 3 bytes"):
        take(stream, 3)
    assert stream.ended == "aborted"
