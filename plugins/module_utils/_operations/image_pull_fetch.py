# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The blocks that this host lacks: fetched part by part, several at once, checked and written while others are on their way."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Callable, Protocol

from .._catalog.ranges import Part
from .._catalog.segment import BLOCK_SIZE
from .._errors import TransferError
from .._faults import fault_point
from .._formats.compress_pool import workers
from .bandwidth_limit import BandwidthLimit
from .image_pull_log import PullLog
from .image_pull_sink import BadBlock, Sink
from .side_by_side import side_by_side

# Told how many bytes of packs came since the last call.
Report = Callable[[int], None]


class PackSource(Protocol):
    """Where parts of packs come from; called by several threads at once."""

    def read(self, pack: str, start: int, length: int) -> bytes:
        """Just these bytes; raises what a store raises."""

    def read_again(self, pack: str, start: int, length: int) -> bytes:
        """The same from somebody else where there is one, since what came was damaged."""

    def taken(self, pack: str, start: int, data: bytes) -> None:
        """What came was right."""

    def doubt(self, pack: str) -> bool:
        """What was read again is damaged too: whether there is still somebody else to ask."""


class Fetcher:
    """Fetches parts of packs into `sink`. `bytes` counts what came, `requests` how often something was asked for."""

    def __init__(
        self, sink: Sink, source: PackSource, log: PullLog, *, limit: int | None, shown: str, report: Report
    ) -> None:
        self._sink = sink
        self._source = source
        self._log = log
        self._limit = BandwidthLimit(limit)
        self._shown = shown
        self._report = report
        # More threads than processors would only take turns.
        self._processors = threading.BoundedSemaphore(workers())
        self._lock = threading.Lock()
        self.bytes = self.requests = 0

    def fetch(self, *parts: Sequence[Part], threads: int, tick: Callable[[], None]) -> None:
        """Fetch all lists of `parts` beside each other, each in its order; raises TransferError for blocks that are damaged wherever they
        are read.
        """
        side_by_side(*parts, work=self._fetch, threads=threads, tick=tick)

    def _fetch(self, part: Part) -> None:
        self._limit.wait(part.size)
        self._log.begun(part)
        pack = self._sink.blocks.packs[part.pack]
        data = self._source.read(pack, part.start, part.size)
        self._count(part)
        try:
            self._take(part, data)
        except BadBlock:
            self._take_again(part, pack)
        fault_point("pull-image:while-fetching")
        self._log.done(part)

    def _take(self, part: Part, data: bytes) -> None:
        with self._processors:
            self._sink.take_part(part, data)
        self._source.taken(self._sink.blocks.packs[part.pack], part.start, data)

    def _take_again(self, part: Part, pack: str) -> None:
        while True:
            data = self._source.read_again(pack, part.start, part.size)
            self._count(part)
            try:
                return self._take(part, data)
            except BadBlock as bad:
                if not self._source.doubt(pack):
                    raise self._damaged(pack, bad) from None

    def _damaged(self, pack: str, bad: BadBlock) -> TransferError:
        blocks = self._sink.blocks
        at, length = blocks.offsets[bad.index], blocks.lengths[bad.index]
        return TransferError(
            f"{self._shown}: the pack {pack} is damaged: of the block at byte {blocks.numbers[bad.index] * BLOCK_SIZE} of the "
            f"disk, which is {length} bytes at {at} there, {bad.why}; restore the pack, or remove it there "
            f"and publish the image again."
        )

    def _count(self, part: Part) -> None:
        with self._lock:
            self.bytes += part.size
            self.requests += 1
        self._report(part.size)
