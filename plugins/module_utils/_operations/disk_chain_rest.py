# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Another backing file with the same content: data copied up and the header changed, or a new overlay in the old one's place."""

from __future__ import annotations

from .._commands import Commands
from .._errors import Conflict, EngineError
from .._faults import fault_point
from .._files import fingerprint, partial_path, remove, sync_file
from .._formats.chain import inspect_chain
from .._formats.safety import verdict
from .._qemu import block_jobs
from .._qemu.block_graph import chain_nodes
from .._qemu.image import Image, convert_arguments
from .._qemu.image_locks import kept_from_engines
from .._qemu.percent import run_with_percent
from .._qemu.rebase import differences_arguments, header_arguments
from .._qemu.storage_daemon import storage_daemon
from .._records import publish_with_record, write_record
from .disk_chain_layers import images_of
from .disk_chain_records import remember, rested_on
from .disk_chain_work import Work, like, make_hidden, new_overlay, options_of, tidy_tables, write_header


def copy_up(work: Work) -> None:
    """In place: first all data of the layers that go are in the top and flushed, then the header leaves them out.

    So the guest's content is the same at every moment, whatever is killed.
    """
    request, act, images = work.request, work.act, work.images
    known = remember(request.path)
    work.progress.phase("copy", total=work.virtual_size)
    fault_point("chain:before-copy")
    with storage_daemon(pass_fds=work.locks) as daemon:
        daemon.add(chain_nodes(images, writable={0}))
        block_jobs.copy_up(daemon, base=act.base, speed=request.bandwidth, report=work.report)
        fault_point("chain:copied")
    sync_file(request.path)
    seen = fingerprint(request.path)
    kept = images[act.base :] if act.base else []
    work.require_equal([images[0], *kept], images, what=f"The new content of {request.path}")
    record = rested_on(act.layers[0], known, below=act.below, dropped=work.dropped, tool=work.tool)
    # It names the old files and the new one, so whatever the header says after a kill is known to be ours.
    write_record(request.path, record, written=known.written)
    write_header(work, seen)
    tidy_tables(images[0], work.locks)
    write_record(request.path, record, written=known.written)


def change_header(work: Work) -> None:
    """Only the header: no data are read, and the guest sees what the new backing file holds."""
    path = work.request.path
    known = remember(path)
    work.progress.phase("header")
    record = rested_on(work.act.layers[0], known, below=work.act.below, dropped=work.dropped, tool=work.tool)
    write_record(path, record, written=known.written)
    write_header(work, fingerprint(path))
    write_record(path, record, written=known.written)


def write_anew(work: Work) -> None:
    """A new image with the same content takes the old one's name when it is whole; a flat one, or one over the new backing file.

    An overlay begins as an overlay of the old one, so that qemu-img finds by itself all that the old chain and the new backing file
    differ in, and nothing is written to the old one, whose header would have to change while tables are in memory only.
    """
    path, below = work.request.path, work.act.below
    known, seen, hidden = remember(path), fingerprint(path), partial_path(path)
    remove(hidden)
    work.progress.leaves(hidden)
    try:
        image = _differences(work, hidden, below) if below else _copy(work, hidden)
        fault_point("chain:written-anew")
        _verify(work, image, below)
        like(path, hidden)
        fault_point("chain:before-publish")
        work.require_unchanged()
        with kept_from_engines(path):
            if fingerprint(path) != seen:
                raise Conflict(f"path: {path} was written to by somebody else in the meantime; run the task again.")
            record = rested_on(work.act.layers[0], known, below=below, dropped=work.dropped, tool=work.tool)
            publish_with_record(hidden, path, record, written=known.written)
    finally:
        remove(hidden)


def _copy(work: Work, hidden: str) -> Image:
    """All that the chain holds, in one file."""
    image = Image(hidden, work.images[0].format)
    make_hidden(hidden)
    work.progress.phase("copy", total=work.virtual_size)
    fault_point("chain:before-rewrite")
    argv = convert_arguments(work.images[0], image, options=options_of(work), rate_limit=work.request.bandwidth)
    run_with_percent(argv, work.percent, pass_fds=work.locks)
    return image


def _differences(work: Work, hidden: str, below: Image) -> Image:
    """An overlay over the new backing file."""
    image = new_overlay(work, hidden, over=work.images[0])
    work.progress.phase("copy differences", total=work.virtual_size)
    fault_point("chain:before-rewrite")
    argv = differences_arguments(image, backing=below, rate_limit=work.request.bandwidth)
    run_with_percent(argv, work.percent, pass_fds=work.locks)
    if work.act.name != below.path:
        Commands().output(header_arguments(image, backing=below, name=work.act.name), pass_fds=work.locks)
    return image


def _verify(work: Work, image: Image, below: Image | None) -> None:
    """Read the new image back by our parser; with verify deep, byte by byte."""
    chain = inspect_chain(image.path, declared=image.format)
    files = [link.real_path for link in chain]
    allowed = work.act.new_base.files if work.act.new_base else ()
    wrong = [found.message for _where, found in verdict(chain, allowed_backing=allowed).refusals]
    if chain[0].facts.virtual_size != work.virtual_size or files[1:2] != ([below.path] if below else []):
        wrong.append("its size or its backing file is another one.")
    if wrong:
        raise EngineError(f"The new image for {work.request.path} was thrown away: {' '.join(wrong)}")
    work.require_equal([image, *images_of(chain)[1:]], work.images, what="The new image")
