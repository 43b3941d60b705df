# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A commit: what overlays hold goes down into a lower layer; the overlays go last, when that one is whole."""

from __future__ import annotations

from .._commands import Commands
from .._faults import fault_point
from .._files import fingerprint, partial_path, remove, sync_file
from .._qemu import block_jobs
from .._qemu.block_graph import chain_nodes
from .._qemu.image import Image, QemuImg
from .._qemu.image_locks import kept_from_engines
from .._qemu.storage_daemon import storage_daemon
from .._records import drop_record, publish_with_record, write_record
from .disk_chain_records import committed_into, emptied, remember
from .disk_chain_work import Work, like, new_overlay, tidy_tables


def commit(work: Work) -> None:
    """At every moment the top reads as before: what it and the layers between hold hides what changes below."""
    base = work.act.base or 0
    images, target = work.images, work.act.layers[base]
    known = remember(target.real_path)
    _grow(work, images[base], target.facts.virtual_size)
    work.progress.phase("commit", total=work.virtual_size)
    fault_point("chain:before-commit")
    with storage_daemon(pass_fds=work.locks) as daemon:
        daemon.add(chain_nodes(images, writable={base}))
        block_jobs.commit_down(daemon, base=base, speed=work.request.bandwidth, report=work.report)
        fault_point("chain:committed")
    sync_file(target.real_path)
    work.require_equal(images[base:], images, what=f"commit.into: {target.real_path}")
    tidy_tables(images[base], work.locks)
    fault_point("chain:before-record")
    work.require_unchanged()
    layers = [image.path for image in images[:base]]
    record = committed_into(target, known, virtual_size=work.virtual_size, layers=layers, tool=work.tool)
    write_record(target.real_path, record)
    sync_file(target.real_path)
    fault_point("chain:before-removal")
    if work.request.keep:
        _empty(work, images[base])
    remove_layers(layers[1:] if work.request.keep else layers)


def _grow(work: Work, base: Image, size: int) -> None:
    """The overlay may be larger than what it rests on; the new part reads as zeros, as it did above."""
    if size < work.virtual_size:
        fault_point("chain:before-growth")
        QemuImg(Commands()).resize(base, size=work.virtual_size)
        sync_file(base.path)


def _empty(work: Work, into: Image) -> None:
    """A new, empty overlay takes the name of the one whose data are below now."""
    path = work.request.path
    seen, hidden = fingerprint(path), partial_path(path)
    remove(hidden)
    work.progress.leaves(hidden)
    try:
        new_overlay(work, hidden, over=into)
        like(path, hidden)
        fault_point("chain:before-publish")
        with kept_from_engines(path):
            if fingerprint(path) == seen:
                publish_with_record(hidden, path, emptied(work.act.layers[0], into, tool=work.tool))
    finally:
        remove(hidden)


def remove_layers(paths: list[str]) -> None:
    """Remove files from the top down, so that none is left without what it rests on."""
    for path in paths:
        if fingerprint(path) is not None:
            with kept_from_engines(path):
                drop_record(path)
                remove(path)
            fault_point("chain:layer-removed")


def tidy(work: Work) -> None:
    """What an interrupted commit left."""
    work.progress.phase("remove")
    remove_layers(list(work.act.leftover))
