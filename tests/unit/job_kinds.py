# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host helper for tests: job_kinds.py IMPORT-TREE JOB-FOLDER does one of the jobs below."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def wait(params: dict[str, Any], progress: Any, lock: int) -> dict[str, Any]:
    """Until the file `gate` is there: how long that takes is the test's business, not the machine's."""
    try:
        progress.phase("wait", total=100)
        until = time.monotonic() + 600  # seconds, for a test that was killed
        while not os.path.exists(params["gate"]) and time.monotonic() < until:
            time.sleep(0.01)
    finally:
        Path(params["trace"]).write_text("tidied", encoding="utf-8")
    return {"given": params["given"]}


def full(params: dict[str, Any], progress: Any, lock: int) -> dict[str, Any]:
    raise OSError(28, "No space left on device", "/full")


def crash(params: dict[str, Any], progress: Any, lock: int) -> dict[str, Any]:
    raise RuntimeError("a bug")


def die(params: dict[str, Any], progress: Any, lock: int) -> dict[str, Any]:
    print("last words", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def engine(params: dict[str, Any], progress: Any, lock: int) -> dict[str, Any]:
    from ansible_collections.imageops.fleet.plugins.module_utils._qemu.percent import run_with_percent

    run_with_percent(["/bin/sh", "-c", f"echo $$ > {params['trace']}; exec sleep 60"], print, pass_fds=(lock,))
    return {}


def main() -> int:
    sys.path.insert(0, sys.argv[1])
    from ansible_collections.imageops.fleet.plugins.module_utils._jobs.worker import run_job

    kind = json.loads(Path(sys.argv[2], "request.json").read_text(encoding="utf-8"))["kind"]
    return run_job(sys.argv[2], {work.__name__: work for work in (wait, full, crash, die, engine)}[kind])


if __name__ == "__main__":
    sys.exit(main())
