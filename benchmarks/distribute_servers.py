# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What serves on the controller: a web server, a seeder of torrents, and a store of chunks for casync."""

from __future__ import annotations

import subprocess
import time
import urllib.request
from pathlib import Path

from torrent import Tracker, write_torrent

PORT = 8199
CONFIGURATION = """\
daemon off; worker_processes 2; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; keepalive_requests 100000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  server {{ listen {address}:{port}; root {folder}; }}
}}
"""


class Servers:
    """All of them, on one address; to be stopped."""

    def __init__(self, folder: Path, address: str) -> None:
        self.url = f"http://{address}:{PORT}"
        self._folder, self._address = folder, address
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Make what they serve, where it isn't there, and let them serve."""
        configuration = self._folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=self._folder, address=self._address, port=PORT))
        self._begin("nginx", "-c", str(configuration))
        for version in ("v1", "v2"):
            if not (self._folder / f"{version}.caibx").exists():
                store = ["--store", self._folder / "default.castr"]
                subprocess.run(
                    ["casync", "make", *store, self._folder / f"{version}.caibx", self._folder / f"{version}.raw"],
                    check=True,
                    stdout=subprocess.DEVNULL,
                )
        tracker = Tracker(self._address)
        image = self._folder / "v1.qcow2"
        write_torrent(image, tracker=tracker.url)
        seed = [
            "--check-integrity=true",
            "--seed-ratio=0.0",
            "--enable-dht=false",
            "--quiet=true",
            f"--dir={self._folder}",
        ]
        self._begin("aria2c", *seed, "--bt-max-peers=0", f"--interface={self._address}", f"{image}.torrent")
        self._wait()
        # The seeder reads all of the image before it says that it has it.
        while not tracker.peers:
            time.sleep(0.1)

    def _begin(self, *command: str) -> None:
        self._running.append(subprocess.Popen(command))

    def _wait(self) -> None:
        for _turn in range(100):
            try:
                urllib.request.urlopen(f"{self.url}/nginx.conf", timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise SystemExit(f"distribute: the web server doesn't answer at {self.url}")

    def stop(self) -> None:
        """End them all."""
        for process in self._running:
            process.terminate()
            process.wait()
