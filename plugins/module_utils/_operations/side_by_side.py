# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Work on many things by a few threads, which all end before anything else goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from typing import Callable, TypeVar

T = TypeVar("T")
_TICK_SECONDS = 0.2
# How long threads may take to see that they shall stop: one request to a slow server.
_PATIENCE = 15.0


def side_by_side(
    things: Iterable[T], work: Callable[[T], None], *, threads: int, tick: Callable[[], None] = lambda: None
) -> None:
    """Call `work` for all `things`, taken in order by so many threads; `tick` is called here from time to time.

    After an error no more are begun; it is raised when those under way have ended.
    """
    waiting, lock, over = iter(things), threading.Lock(), threading.Event()
    errors: list[BaseException] = []

    def work_off() -> None:
        while not over.is_set():
            with lock:
                thing = next(waiting, over)
            if thing is over:
                return
            try:
                work(thing)  # type: ignore[arg-type]
            except BaseException as error:  # It is raised where the work was asked for.
                errors.append(error)
                over.set()

    crew = [threading.Thread(target=work_off, daemon=True) for _number in range(threads)]
    for one in crew:
        one.start()
    try:
        _await(crew, tick)
    except BaseException:
        over.set()
        _give_time(crew)
        raise
    if errors:
        raise errors[0]


def _await(crew: Sequence[threading.Thread], tick: Callable[[], None]) -> None:
    ticked = time.monotonic()
    for one in crew:
        while one.is_alive():
            one.join(_TICK_SECONDS)
            if time.monotonic() - ticked >= _TICK_SECONDS:
                tick()
                ticked = time.monotonic()


def _give_time(crew: Sequence[threading.Thread]) -> None:
    end = time.monotonic() + _PATIENCE
    for one in crew:
        one.join(max(0.0, end - time.monotonic()))
