# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's registry for a scenario alone, with TLS and a password; it can be killed and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from typing import Any

from processes import run, wait_until
from registry_catalog import RegistryCatalog

# The programs that it is made of.
NEEDS = ("docker-registry", "htpasswd", "openssl")
_USER = ("faults", "only for the tests")
_REPOSITORY = "team/disk"
_SECONDS = 120.0
# Uploads that are under way outlive a restart by the secret.
_CONFIG = """version: 0.1
log: {{level: error}}
storage:
  filesystem: {{rootdirectory: {content}}}
  delete: {{enabled: true}}
http:
  addr: 127.0.0.1:{port}
  secret: of the tests
  tls: {{certificate: {folder}/ca.pem, key: {folder}/key.pem}}
auth:
  htpasswd: {{realm: test, path: {folder}/users}}
"""


class Registry:
    """What makes it up is in `folder`; what it holds is in `content`, which may be replaced while it runs: it remembers nothing."""

    def __init__(self, folder: str, content: str) -> None:
        self._folder = folder
        self.content = content
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port: int = listener.getsockname()[1]
        self.repository = f"127.0.0.1:{self._port}/{_REPOSITORY}"
        self.access: dict[str, Any] = {
            "url_username": _USER[0],
            "url_password": _USER[1],
            "ca_path": f"{folder}/ca.pem",
        }

    def catalog(self) -> RegistryCatalog:
        """A reader of what it shows."""
        return RegistryCatalog(self._port, _REPOSITORY, _USER, f"{self._folder}/ca.pem")

    def make(self) -> None:
        """Make what it is made of, and start it."""
        os.makedirs(self._folder)
        key = f"-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout {self._folder}/key.pem -out {self._folder}/ca.pem"
        names = "-days 2 -subj /CN=test -addext subjectAltName=IP:127.0.0.1"
        run("openssl", "req", "-x509", *key.split(), *names.split())
        subprocess.run(
            ["htpasswd", "-c", "-B", "-C", "4", "-i", f"{self._folder}/users", _USER[0]],
            input=_USER[1].encode(),
            check=True,
            stderr=subprocess.DEVNULL,
        )
        with open(self._config, "w", encoding="utf-8") as stream:
            stream.write(_CONFIG.format(content=self.content, folder=self._folder, port=self._port))
        self.start()

    @property
    def _config(self) -> str:
        return f"{self._folder}/config.yml"

    def start(self) -> None:
        """Start it, unless it runs."""
        if self._process is None:
            with open(f"{self._folder}/log", "ab") as log:
                self._process = subprocess.Popen(
                    ["docker-registry", "serve", self._config],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd="/",
                )
        if not wait_until(self._listens, _SECONDS, pause=0.02):
            raise RuntimeError("the registry does not listen")

    def _listens(self) -> bool:
        with socket.socket() as one:
            return one.connect_ex(("127.0.0.1", self._port)) == 0

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def collect_garbage(self) -> None:
        """Remove what nothing names, as the role registry does: nobody writes meanwhile."""
        run("docker-registry", "garbage-collect", self._config)

    def remove(self) -> None:
        """End it, and remove what it is made of."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)
