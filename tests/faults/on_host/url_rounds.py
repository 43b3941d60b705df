# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Conversions from a URL: what came before an interruption is kept for the next run, and nothing afterwards."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, ClassVar

from convert_rounds import MOMENTS, ToQcow2
from processes import run
from room import Room
from web import Web


class Download(ToQcow2):
    """From a URL, without decompression: what came is kept for the next run."""

    name = "convert: URL"
    kind = "convert"
    points = (*MOMENTS, "fetch:downloaded", "fetch:before-inspect")
    kept = r"imageops-partial|/downloads/"
    source = ""  # type: ignore[assignment]
    published = "source.raw"

    def __init__(self, room: Room) -> None:
        super().__init__(room)
        self._web: Web | None = None

    @property
    def options(self) -> dict[str, Any]:
        port = self._web.port if self._web else 0
        url = f"http://127.0.0.1:{port}/{self.published}"
        given = {"src": url, "src_format": "raw", "dest": self.target, "force": True, "checksum": self._checksum()}
        return {**given, **self.more}

    def _checksum(self) -> str:
        return f"sha256:{run('sha256sum', f'{self.room.master}/{self.published}').stdout.split()[0]}"

    def prepare(self) -> None:
        super().prepare()
        self._web = Web(self.room.master)
        threading.Thread(target=partial(self._web.serve_forever, 0.05), daemon=True).start()

    def end(self) -> None:
        if self._web:
            self._web.shutdown()


class SlowDownload(Download):
    """As slow as it takes to note more than once how far it is."""

    name = "convert: URL, slow"
    variant = True
    points = ("fetch:downloading",)
    more: ClassVar[dict[str, Any]] = {"bandwidth": "6M"}
    engines = False
    full_sizes = ()


class Unpacked(Download):
    """Decompressed on its way."""

    name = "convert: URL, gz"
    variant = True
    points = ("fetch:decompressing",)
    published = "source.raw.gz"
    full_sizes = (0, 6)

    def prepare(self) -> None:
        super().prepare()
        run("gzip", "-k", "-1", f"{self.room.master}/source.raw")


SCENARIOS = (Download, SlowDownload, Unpacked)
