# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rounds of a fleet host: its driver is brought there with the modules' payloads, and tells what becomes of each round."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from host import BUILD, TOP, Failed, Host

_DRIVER = Path(__file__).parent / "on_host"
_PAYLOADS = BUILD / "faults" / "payloads"
_MODULES = (
    "disk",
    "disk_chain",
    "disk_check",
    "disk_compact",
    "disk_convert",
    "disk_job_info",
    "disk_snapshot",
    "image_alias",
    "image_export",
    "image_import",
    "image_prune",
    "image_publish",
    "image_pull",
    "image_sign",
    "vm_snapshot",
)
GROUPS = (
    "alias",
    "chain",
    "check",
    "compact",
    "convert",
    "disk",
    "export",
    "import",
    "prune",
    "publish",
    "pull",
    "sign",
    "snapshot",
)
_SILENT: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
_COLUMNS = ("rounds", "hit", "old", "new", "joined", "converged", "left", "lost", "failed")
_NAMED = re.compile(r"fault_point\(\s*f?\"([^\"]+)\"|fault=\"([a-z]+:[^\"]+)\"")


def make_payloads() -> None:
    """Build what Ansible would send."""
    _PAYLOADS.mkdir(parents=True, exist_ok=True)
    python = TOP / ".venv" / "bin" / "python"
    command = [python, Path(__file__).parent / "payloads.py", BUILD / "collections", _PAYLOADS, *_MODULES]
    subprocess.run(command, check=True)


def missed_points() -> list[str]:
    """Named points of the code that no scenario meets."""
    driver = [sys.executable, str(_DRIVER / "drive.py"), "--payloads", "-", "--points"]
    met: list[str] = json.loads(subprocess.run(driver, capture_output=True, text=True, check=True).stdout)
    named = set()
    for path in (TOP / "plugins").rglob("*.py"):
        for one, other in _NAMED.findall(path.read_text(encoding="utf-8")):
            named.add(one or other)
    # A name with a part that is only known at run time is met when any of its names is.
    patterns = {name: re.sub(r"\\\{\w+\\\}", ".+", re.escape(name)) for name in named}
    return sorted(name for name, pattern in patterns.items() if not any(re.fullmatch(pattern, one) for one in met))


def play(host: Host, groups: list[str], *, quick: bool, seed: str, only: str) -> Iterator[dict[str, Any]]:
    """Play the rounds of the groups on a host, as they end."""
    with driver_on(host) as folder:
        words = ["python3", f"{folder}/drive.py", "--payloads", folder, "--seed", seed, "--only", only, *groups]
        words += ["--quick"] if quick else ["--sessions"]
        yield from told(host, shlex.join(words))


@contextlib.contextmanager
def driver_on(host: Host) -> Iterator[str]:
    """A folder on the host with what plays rounds there and with the modules' payloads."""
    folder = host.shell("mktemp -d /var/tmp/imageops-faults-XXXXXX").strip()
    try:
        _bring(host, folder)
        yield folder
    finally:
        host.shell(f"rm -rf {folder}")


def _bring(host: Host, folder: str) -> None:
    files = [*_DRIVER.glob("*.py"), *_PAYLOADS.glob("*.py")]
    named = [word for path in files for word in ("-C", path.parent, path.name)]
    packed = subprocess.run(["tar", "-c", *named], capture_output=True, check=True).stdout
    subprocess.run([*host.ssh, f"tar -x -C {folder}"], input=packed, check=True)


def told(host: Host, command: str) -> Iterator[dict[str, Any]]:
    """The rounds that a driver tells, as they end."""
    sessions = []
    with subprocess.Popen([*host.ssh, command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            found: dict[str, Any] = json.loads(line)
            if "session" in found:
                # The driver wants a module that runs in an SSH session, to kill that.
                sessions.append(subprocess.Popen([*host.ssh, found["session"]], **_SILENT))
            else:
                yield found
    for session in sessions:
        session.wait()
    if process.returncode != 0:
        raise Failed(f"the driver on {host.name} ended with {process.returncode}")


def summed(rounds: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A row per operation; what cancels a job is an operation of its own."""
    rows: dict[str, dict[str, Any]] = defaultdict(lambda: dict.fromkeys(_COLUMNS, 0))
    for one in rounds:
        row = rows["job cancel" if one["strike"].startswith("job cancel") else one["scenario"]]
        row["rounds"] += 1
        row["hit"] += one["hit"]
        row["old"] += one["seen"] == "old"
        row["new"] += one["seen"] == "new"
        row["joined"] += one["seen"] == "joined"
        row["converged"] += one["converged"]
        row["left"] += bool(one["left"])
        row["lost"] += one["lost"]
        row["failed"] += bool(one["problem"])
    return [{"operation": name, **row} for name, row in rows.items()]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text, with their sum."""
    total = {"operation": "all", **{name: sum(row[name] for row in rows) for name in _COLUMNS}}
    width = max([33, *(len(row["operation"]) for row in rows)]) + 1
    head = f"{'operation':<{width}}" + "".join(f"{name:>10}" for name in _COLUMNS)
    lines = (
        f"{row['operation']:<{width}}" + "".join(f"{row[name]:>10}" for name in _COLUMNS) for row in [*rows, total]
    )
    return "\n".join([head, *lines])
