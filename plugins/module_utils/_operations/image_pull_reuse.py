# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blocks that are here already: those that an interrupted pull wrote, and those of other images; each is compared with its digest.

Where the file system can share blocks between files they are shared, else they are copied.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from typing import Callable

from .._catalog.segment import BLOCK_SIZE
from .._faults import fault_point
from .._formats.compress_pool import workers
from .file_copy import NO_CLONE, NO_KERNEL_COPY, clone_range
from .image_pull_log import Past, PullLog
from .image_pull_seeds import Run
from .image_pull_sink import Sink
from .side_by_side import side_by_side

_MOST_RUN = 16
# Told how many bytes of the guest's were looked at since the last call.
Report = Callable[[int], None]


def check_past(sink: Sink, past: Past, *, report: Report) -> None:
    """Look which of the blocks that an earlier run wrote are really there."""

    def check(run: range) -> None:
        data = os.pread(sink.handle, len(run) * BLOCK_SIZE, sink.layout.offset(run[0]))
        sink.take_copy(run, data, write=False)
        report(len(run) * BLOCK_SIZE)

    side_by_side(_neighbours(past.written, sink), work=check, threads=workers())


def _neighbours(marked: bytearray, sink: Sink) -> Iterator[range]:
    """Marked blocks that lie one behind the other in the file."""
    first = -1
    for index, is_marked in enumerate(marked):
        follows = first >= 0 and sink.layout.offset(index) == sink.layout.offset(first) + (index - first) * BLOCK_SIZE
        if first >= 0 and not (is_marked and follows and index - first < _MOST_RUN):
            yield range(first, index)
            first = -1
        if is_marked and first < 0:
            first = index
    if first >= 0:
        yield range(first, len(marked))


class Reuse:
    """Takes blocks out of other images. `shared` and `copied` count blocks."""

    def __init__(self, sink: Sink, log: PullLog, *, report: Report) -> None:
        self._sink = sink
        self._log = log
        self._report = report
        self._lock = threading.Lock()
        self._unshared: set[int] = set()
        self.shared = self.copied = 0

    def take(self, runs: Sequence[Run]) -> None:
        """Take all `runs`; blocks that aren't what was noted of them stay missing."""
        side_by_side(runs, work=self._take, threads=workers())

    def _take(self, run: Run) -> None:
        shared = self._share(run)
        good = self._taken(run, shared)
        if good == len(run.indexes):
            self._log.local(run.first, run.last)
        with self._lock:
            self.shared += good if shared else 0
            self.copied += 0 if shared else good
        self._report(len(run.indexes) * BLOCK_SIZE)
        fault_point("pull-image:while-reusing")

    def _taken(self, run: Run, shared: bool) -> int:
        """Write what isn't shared, and look at what isn't trusted; how many blocks are right."""
        length, place = len(run.indexes) * BLOCK_SIZE, self._sink.layout.offset(run.first)
        sound = run.seed.trusted and (
            shared or _copy(run.seed.handle, self._sink.handle, run.offset, place, length) == length
        )
        if sound:
            self._sink.have[run.first : run.last + 1] = b"\1" * len(run.indexes)
            return len(run.indexes)
        data = os.pread(self._sink.handle, length, place) if shared else run.seed.read(run.offset, length)
        return self._sink.take_copy(run.indexes, data, write=not shared)

    def _share(self, run: Run) -> bool:
        """Whether the blocks of the run are shared with the image now."""
        if run.seed.handle < 0 or run.seed.handle in self._unshared:
            return False
        length, place = len(run.indexes) * BLOCK_SIZE, self._sink.layout.offset(run.first)
        try:
            clone_range(run.seed.handle, run.offset, length, self._sink.handle, place)
        except OSError as error:
            if error.errno not in NO_CLONE:
                raise
            if error.errno != errno.EINVAL:
                self._unshared.add(run.seed.handle)
            return False
        return True


def _copy(source: int, target: int, offset: int, place: int, length: int) -> int:
    """Let the kernel copy; how many bytes."""
    done = 0
    while done < length:
        try:
            count = os.copy_file_range(source, target, length - done, offset + done, place + done)
        except OSError as error:
            if error.errno not in NO_KERNEL_COPY:
                raise
            count = os.pwrite(target, os.pread(source, length - done, offset + done), place + done)
        if not count:
            break
        done += count
    return done
