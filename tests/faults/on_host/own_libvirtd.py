# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A libvirtd of the rounds' own, which can be killed without harm to other VMs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from typing import Any, Callable

from processes import run, wait_until

_CONFIG = "/var/tmp/imageops-rounds-config"
_SILENT: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


def go_apart() -> None:
    """Go on where the folders of libvirt are others."""
    if "--apart" not in sys.argv:
        os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "python3", *sys.argv, "--apart"])
    shutil.copytree("/etc/libvirt", _CONFIG, ignore=shutil.ignore_patterns("*.xml"), dirs_exist_ok=True)
    for folder in ("/run/libvirt", "/var/lib/libvirt/qemu", "/etc/libvirt"):
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder)
    shutil.copytree(_CONFIG, "/etc/libvirt", dirs_exist_ok=True)
    shutil.rmtree(_CONFIG)
    with open("/etc/libvirt/qemu.conf", "a", encoding="utf-8") as stream:
        # virtlogd's socket is among what is hidden.
        stream.write('\nstdio_handler = "file"\n')


class Libvirtd:
    """One at a time; each has these environment variables beside ours."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["libvirtd", "--pid-file", "/run/libvirt/own.pid"]
        self._process = subprocess.Popen(command, env={**os.environ, **self.variables}, **_SILENT)
        if not wait_until(lambda: run("virsh", "-q", "list", check=False).returncode == 0, 300, pause=0.1):
            raise RuntimeError("libvirtd does not answer")

    def kill(self, before: Callable[[], None] | None = None) -> None:
        """kill -9, and a new one in its place; what shall happen `before` that starts."""
        self.end(signal.SIGKILL)
        if before:
            before()
        self.start()

    def end(self, how: signal.Signals) -> None:
        if self._process:
            self._process.send_signal(how)
            self._process.wait()

    @property
    def is_dead(self) -> bool:
        return self._process is None or self._process.poll() is not None


# Its folders are those of our process, so there is one.
LIBVIRTD = Libvirtd()
