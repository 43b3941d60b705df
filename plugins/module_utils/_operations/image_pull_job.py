# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a pull, as the host helper does it: take what is here, fetch the rest, publish."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import Any

from .._catalog.blocks import DiskBlocks, checked_blocks
from .._catalog.image import DiskEntry
from .._catalog.segment import BLOCK_SIZE
from .._catalog.variables import Variables
from .._errors import Conflict
from .._faults import fault_point
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._records import publish_with_record
from .._registry.images import LoadedImage, load_image, load_segments
from .._registry.interface import Store
from .._registry.open import open_store
from .dead_caches import remove_dead_caches
from .held_images import held_images, note_held, segments_here, tidy_held, variables_here
from .held_variables import fetch_variables, keep_variables, tidy_variables
from .image_pull_compare import first_difference
from .image_pull_counter import Counter
from .image_pull_disk import chosen_disk
from .image_pull_extra_seeds import extra_seeds
from .image_pull_fetch import Fetcher
from .image_pull_file import PullFile, require_same_destination
from .image_pull_found import find, holds
from .image_pull_peers import parts_of, shared_source
from .image_pull_record import record_of
from .image_pull_request import DEEP, MODE, PullRequest, request_of_job
from .image_pull_reuse import Reuse, check_past
from .image_pull_seeds import find_runs, held_seeds
from .image_pull_use import unused
from .ownership import apply_to_new
from .segment_cache import SegmentCache, tidy_segments

_SYNC_SECONDS = 5.0


def pull(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Bring the disk that `params` (PullRequest.job) describe; facts for the task's result.

    What an interruption leaves is kept for the next run of the task, and shows under no name but a hidden one.
    """
    request = request_of_job(params)
    progress.phase("index")
    with contextlib.closing(open_store(request.reference, request.access)) as store:
        image = load_image(store, request.digest)
        disk = chosen_disk(image.config, request.disk, shown=request.shown)
        segments = load_segments(store, image, disk, SegmentCache())
        blocks = checked_blocks(disk, segments, where=request.shown)
        same = _compared(request, blocks, progress)
        if same:
            return same
        fault_point("pull-image:before-partial")
        return _Pull(request, params, image, disk, blocks, progress).run(store)


def _compared(request: PullRequest, blocks: DiskBlocks, progress: Progress) -> dict[str, Any]:
    """Facts when the file is there already and was to be read, and holds what it should; nothing when it is to be pulled."""
    if request.verify != DEEP or not holds(request, find(request.dest)):
        return {}
    counter = Counter(progress)
    counter.phase("verify", len(blocks) * BLOCK_SIZE)
    difference = first_difference(request.dest, request.format, blocks, report=counter.add)
    if difference is None:
        return {"verify": DEEP, "verified_bytes": len(blocks) * BLOCK_SIZE, "changed": False}
    if not request.force:
        raise Conflict(
            f"dest: {request.dest} doesn't hold what was pulled: the block at byte {difference} of the disk differs, though its time says "
            f"that nobody wrote to it; 'force: true' pulls it again when nothing uses it."
        )
    return {}


class _Pull:
    def __init__(
        self,
        request: PullRequest,
        params: dict[str, Any],
        image: LoadedImage,
        disk: DiskEntry,
        blocks: DiskBlocks,
        progress: Progress,
    ) -> None:
        self._request = request
        self._params = params
        self._image = image
        self._disk = disk
        self._blocks = blocks
        self._counter = Counter(progress)
        self._progress = progress
        self._synced = time.monotonic()
        self._file = PullFile(request, disk.name, blocks)
        fault_point("pull-image:partial-made")

    def run(self, store: Store) -> dict[str, Any]:
        began = time.monotonic()
        try:
            # They are small, and what is wrong with them is known before all the blocks come.
            variables = self._keep_variables(store)
            told = {**self._resume(), **self._reuse()}
            told.update(self._fetch(store))
            self._progress.phase("publish")
            fault_point("pull-image:before-header")
            self._file.sink.finish()
        except OSError as error:
            # Of open files the system names none.
            error.filename = error.filename or self._request.partial
            raise
        finally:
            self._file.close()
        self._publish(variables)
        seconds = time.monotonic() - began
        rate = round(len(self._blocks) * BLOCK_SIZE / seconds) if seconds > 0 else 0
        return {**told, "seconds": round(seconds, 3), "rate": rate}

    def _resume(self) -> dict[str, Any]:
        """Look at what an earlier run wrote."""
        past = self._file.past
        if past is not None:
            self._counter.phase("check", sum(past.written) * BLOCK_SIZE)
            check_past(self._file.sink, past, report=self._counter.add)
        return {"resumed_bytes": sum(self._file.sink.have) * BLOCK_SIZE}

    def _reuse(self) -> dict[str, Any]:
        """Take what other files here hold."""
        request, sink = self._request, self._file.sink
        missing = sink.missing()
        held = held_images() if missing and request.held else []
        reuse = Reuse(sink, self._file.log, report=self._counter.add)
        extra = request.seeds if missing else []
        if extra:
            self._counter.phase("look", 0)
        own = held_seeds(held, SegmentCache(), trusting=request.trust_seeds)
        with own as seeds, extra_seeds(extra, report=self._counter.add) as more:
            runs = find_runs(self._blocks, missing, sink.layout, [*seeds, *more])
            self._counter.phase("reuse", sum(len(run.indexes) for run in runs) * BLOCK_SIZE)
            reuse.take(runs)
        return {
            "reused_bytes": (reuse.shared + reuse.copied) * BLOCK_SIZE,
            "shared_bytes": reuse.shared * BLOCK_SIZE,
        }

    def _fetch(self, store: Store) -> dict[str, Any]:
        request, sink, past = self._request, self._file.sink, self._file.past
        with shared_source(request, store) as source:
            parts = parts_of(request, self._blocks, sink.missing())
            self._counter.phase("fetch", sum(part.size for part in parts))
            fetcher = Fetcher(
                sink,
                source,
                self._file.log,
                limit=request.bandwidth,
                shown=request.shown,
                report=self._counter.add,
            )
            lists = source.lists(parts, self._blocks.packs, request.connections)
            fetcher.fetch(*lists, threads=request.connections, tick=self._tick)
        asked = past.asked if past else bytearray()
        again = sum(self._blocks.lengths[index] for part in parts for index in part.blocks if asked and asked[index])
        told = {"fetched_bytes": fetcher.bytes, "refetched_bytes": again, "ranges": fetcher.requests}
        warnings = {"warnings": [source.warning]} if source.warning else {}
        return {**told, "from": dict(source.counted), **warnings}

    def _tick(self) -> None:
        """Let what was written survive a power cut, now and then."""
        if time.monotonic() - self._synced >= _SYNC_SECONDS:
            os.fdatasync(self._file.sink.handle)
            self._synced = time.monotonic()

    def _keep_variables(self, store: Store) -> Variables | None:
        """Have the UEFI variables here before a file says so."""
        found = fetch_variables(store, self._image)
        if found is None:
            return None
        keep_variables(*found)
        return found[0]

    def _publish(self, variables: Variables | None) -> None:
        request, params = self._request, self._params
        record = record_of(request, self._disk, tool=params["tool"], signed=params["signed"], variables=variables)
        mode = MODE if request.mode is None else request.mode
        apply_to_new(request.partial, owner=request.owner, group=request.group, mode=mode)
        fault_point("pull-image:before-publish")
        with unused(request, params["dest_before"]):
            require_same_destination(request, params["dest_before"])
            publish_with_record(request.partial, request.dest, record)
        fault_point("pull-image:after-publish")
        note_held(request.dest, record, self._disk)
        self._file.discard()
        tidy_held()
        tidy_segments(segments_here(), time.time())
        # Where a record is newer than this version, nobody knows which variables its file needs.
        with contextlib.suppress(Conflict):
            tidy_variables(variables_here(), time.time())
        remove_dead_caches(Clock())


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], pull)
