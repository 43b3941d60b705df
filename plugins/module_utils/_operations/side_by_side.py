# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on many things by a few threads, which all end before anything else goes on."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Callable, TypeVar

T = TypeVar("T")
_TICK_SECONDS = 0.2


def side_by_side(
    *things: Iterable[T], work: Callable[[T], None], threads: int, tick: Callable[[], None] = lambda: None
) -> None:
    """Call `work` for all `things`, taken in order by so many threads; `tick` is called here from time to time.

    Of several lists each has its share of the threads, until it is done. After an error, and when this thread is stopped, no more are
    begun; it is raised when those under way have ended.
    """
    waiting, lock, over = [iter(one) for one in things], threading.Lock(), threading.Event()

    def next_of(turn: int) -> Iterator[T]:
        """The next thing of this list or the next ones, if there is any."""
        with lock:
            for place in range(len(waiting)):
                for thing in waiting[(turn + place) % len(waiting)]:
                    yield thing
                    return

    def work_off(turn: int) -> None:
        try:
            while not over.is_set():
                found = list(next_of(turn))
                if not found:
                    return
                work(found[0])
        except BaseException:
            over.set()
            raise

    with ThreadPoolExecutor(threads) as pool:
        crew = [pool.submit(work_off, turn) for turn in range(threads)]
        try:
            while wait(crew, timeout=_TICK_SECONDS).not_done:
                tick()
        finally:
            over.set()
    for one in crew:
        one.result()
