# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of images as the host helper runs it: until it is stopped, or nobody has asked for anything for a while."""

from __future__ import annotations

import sys
import threading
from typing import Any

from .._errors import InUse, system_error
from .._jobs.clock import Clock
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._registry.blob_server import BlobServer, ServerOptions
from .._registry.served import CacheContent, Content, LayoutContent

SERVING = "serve"
_INTERVAL = 0.5
_TOLD_SECONDS = 10.0


def serve(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Serve what `params` (serve.server_job) name; how many requests were answered with how many bytes.

    A cache of packs goes with its server.
    """
    clock = Clock()
    if params["packs"]:
        progress.leaves(params["packs"])
    server = _listening(_content(params, clock), params)
    answering = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": _INTERVAL}, daemon=True)
    answering.start()
    try:
        progress.phase(SERVING)
        _until_idle(server, params["linger"], progress, clock)
    finally:
        server.shutdown()
        server.server_close()
    progress.update(server.sent)
    return {"requests": server.requests, "sent": server.sent}


def _content(params: dict[str, Any], clock: Clock) -> Content:
    return CacheContent(params["packs"], clock) if params["packs"] else LayoutContent(params["layout"])


def _listening(content: Content, params: dict[str, Any]) -> BlobServer:
    options = ServerOptions(
        address=params["address"],
        port=params["port"],
        token=params.get("secrets", {}).get("token", ""),
        certificate=params["certificate"],
        key=params["key"],
        bandwidth=params["bandwidth"],
    )
    try:
        return BlobServer(content, options)
    except OSError as error:
        raise InUse(
            f"port: nothing can listen on {params['address']}, port {params['port']}: {system_error(error)} Give another one."
        ) from None


def _until_idle(server: BlobServer, linger: int, progress: Progress, clock: Clock) -> None:
    """Wait; for ever, unless there is a limit to being idle. SIGTERM ends it."""
    told = clock.now()
    while not linger or server.idle_for() < linger:
        clock.sleep(_INTERVAL)
        if clock.now() - told >= _TOLD_SECONDS:
            told = clock.now()
            progress.update(server.sent)


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], serve)
