# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.ahead import ahead


def numbered(taken: list[int], fails_at: int = -1) -> Iterator[bytes]:
    for number in range(1000):
        if number == fails_at:
            raise ValueError("no more")
        taken.append(number)
        yield b"%d" % number


def test_all_pieces_in_order() -> None:
    assert list(ahead(numbered([]))) == [b"%d" % number for number in range(1000)]


def test_an_error_comes_after_the_pieces_before_it() -> None:
    found = []
    with pytest.raises(ValueError, match="no more"):
        found.extend(ahead(numbered([], fails_at=3)))
    pieces = ahead(numbered([], fails_at=3))
    assert [next(pieces), next(pieces), next(pieces)] == [b"0", b"1", b"2"]


def test_who_stops_taking_stops_the_work() -> None:
    """Its thread ends; those of other tests' servers are none of ours."""
    taken: list[int] = []
    before = set(threading.enumerate())
    pieces = ahead(numbered(taken))
    next(pieces)
    pieces.close()  # type: ignore[attr-defined]
    for thread in set(threading.enumerate()) - before:
        thread.join(5)
    assert not set(threading.enumerate()) - before
    assert len(taken) < 20
