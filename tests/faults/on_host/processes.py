# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes of a host, as the rounds find and end them: those of a job's unit, and those that use a folder."""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

# How often something that lasts milliseconds is looked for.
_PAUSE = 0.002


def run(*argv: str, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """A command of the tests themselves."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=timeout, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


def wait_until(look: Callable[[], bool], seconds: float, *, pause: float = _PAUSE) -> bool:
    """Poll until `look()` is true; False when it isn't in time."""
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            return False
        time.sleep(pause)
    return True


@functools.cache
def _control_groups() -> str:
    """The folder in which systemd keeps a control group per unit; in a container the whole machine's groups may be seen."""
    for line in Path("/proc/1/cgroup").read_text(encoding="utf-8").splitlines():
        _number, kind, path = line.split(":", 2)
        if kind in ("", "name=systemd"):
            for top in ("/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified", "/sys/fs/cgroup"):
                found = f"{top}{path.removesuffix('/init.scope').rstrip('/')}/system.slice"
                if os.path.isdir(found):
                    return found
    raise RuntimeError("the control groups of systemd's units were not found")


def of_unit(job: str) -> list[tuple[int, str]]:
    """Number and name of each process of a job."""
    found = []
    with contextlib.suppress(OSError):
        for pid in Path(_control_groups(), f"imageops-job-{job}.service", "cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                found.append((int(pid), Path("/proc", pid, "comm").read_text().strip()))
    return found


def helper_of(job: str) -> list[int]:
    """The helper's process, as soon as it is the helper."""
    return [pid for pid, name in of_unit(job) if name.startswith("python")]


def engines_of(job: str) -> list[int]:
    """The processes that the helper started and that are another program by now."""
    return [pid for pid, name in of_unit(job) if name.startswith("qemu-")]


def kill(pids: list[int]) -> int:
    """kill -9; how many of them were there."""
    count = 0
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            count += 1
    return count


def has_unit(job: str) -> bool:
    """Whether systemd knows a unit of the job, running or failed."""
    return os.path.exists(f"/run/systemd/transient/imageops-job-{job}.service") or bool(of_unit(job))


def using(folder: str) -> Iterator[str]:
    """Processes other than ours that have a file of `folder` open or name it in their command line."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            words = Path("/proc", entry, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if folder in words:
                yield f"{entry} {words[:160]}"
                continue
            for handle in os.listdir(f"/proc/{entry}/fd"):
                if os.readlink(f"/proc/{entry}/fd/{handle}").startswith(folder):
                    yield f"{entry} {words[:160]} has {os.readlink(f'/proc/{entry}/fd/{handle}')}"
                    break


def mounts_below(folder: str) -> list[str]:
    """Mount points in `folder`, deepest last."""
    with open("/proc/self/mountinfo", encoding="utf-8") as stream:
        points = [line.split()[4] for line in stream]
    return sorted(point for point in points if point.startswith(f"{folder}/"))
