# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The server of images on loopback, inside of a test's process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from threading import Thread
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._registry.blob_server import BlobServer, ServerOptions
from ansible_collections.imageops.fleet.plugins.module_utils._registry.served import Content


@contextlib.contextmanager
def shown(content: Content, **options: Any) -> Iterator[BlobServer]:
    """A server that shows `content`, until the end of the block; `server_address` tells where."""
    server = BlobServer(content, ServerOptions("127.0.0.1", 0, **options))
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
