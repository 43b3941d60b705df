# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SSH session in which a module runs is killed. The machine that started the driver opens it."""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

from processes import kill, wait_until
from rounds import Lengths
from scenario import Scenario
from strikes import Strike

_APPEARS = 120.0


class Session(Strike):
    """kill -9 of the sshd that serves the module's session; `tell` asks for a session that runs a command."""

    takes_module = True

    def __init__(self, part: float, tell: Callable[[dict[str, Any]], None]) -> None:
        self.part, self._tell = part, tell
        self._pid = 0

    def __str__(self) -> str:
        return f"kill of sshd at {self.part:.2f}"

    def start(self, scenario: Scenario) -> subprocess.Popen[str]:
        """The module as Ansible's ssh starts it; the process that is returned lasts as long."""
        room = scenario.room
        payload, number = Path(room.temp, "session.py"), Path(room.temp, "session.pid")
        payload.write_text(room.payload(scenario.module, scenario.options), encoding="utf-8")
        words = [f"{name}={value}" for name, value in room.environment().items()]
        command = shlex.join(["env", *words, "/usr/bin/python3", str(payload)])
        self._tell({"session": f"echo $$ > {number}.new; mv {number}.new {number}; exec {command}"})
        if not wait_until(number.exists, _APPEARS):
            raise RuntimeError("nobody opened the SSH session")
        self._pid = int(number.read_text())
        return subprocess.Popen(
            ["tail", f"--pid={self._pid}", "-s", "0.1", "-f", "/dev/null"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def hit(self, scenario: Scenario, process: subprocess.Popen[str], lengths: Lengths) -> bool:
        time.sleep(self.part * lengths.module)
        return kill(_servers_of(self._pid)) > 0


def _servers_of(pid: int) -> list[int]:
    """The processes of sshd that serve just the session in which `pid` runs."""
    found = []
    while pid > 1 and os.path.exists(f"/proc/{pid}"):
        status = dict(
            line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
        )
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        if status["Name"].startswith("sshd") and "listener" not in words:
            found.append(pid)
        pid = int(status["PPid"])
    return found
