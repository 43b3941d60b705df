# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A room of a scenario: its folder, its state directory, the module calls in it, and what is left in it."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import has_unit, mounts_below, of_unit, run, using, wait_until

_PARAMS = re.compile(r"(?m)^params=.*$")
_MOST_SECONDS = 900.0
_USED_SECONDS = 10.0
_SOCKETS = "/tmp/imageops-nbd-*"
_JOB_FILES = {"request.json", "state.json", "log", "lease"}
# Locks of a catalog in a folder, which stay there.
_LOCKS = {".imageops.lock", ".imageops-index.lock"}


@dataclass
class Room:
    """`folder` belongs to one scenario alone; `payloads` holds what Ansible would send for each module."""

    folder: str
    payloads: str

    def __post_init__(self) -> None:
        self.disk = f"{self.folder}/disk"
        self.master = f"{self.folder}/master"
        self.state = f"{self.folder}/state"
        self.temp = f"{self.folder}/tmp"
        # Seconds that a module call may take.
        self.patience = _MOST_SECONDS
        self._number = 0
        self._not_ours: list[str] = []

    def make(self) -> None:
        for path in (self.disk, self.master, self.state, self.temp):
            os.makedirs(path, exist_ok=True)
        self._not_ours = glob.glob(_SOCKETS)

    def start(self, module: str, options: dict[str, Any], *, fault: str = "") -> subprocess.Popen[str]:
        """Run a module as Ansible does: its payload, with the options in it, by the host's Python."""
        self._number += 1
        payload = Path(self.temp, f"AnsiballZ_{module}_{self._number}.py")
        payload.write_text(self.payload(module, options), encoding="utf-8")
        return subprocess.Popen(
            ["/usr/bin/python3", payload],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd="/",
            env=self.environment(fault),
            start_new_session=True,
        )

    def payload(self, module: str, options: dict[str, Any]) -> str:
        """The text of a module's payload with these options."""
        told = json.dumps({"ANSIBLE_MODULE_ARGS": options})
        return _PARAMS.sub(lambda _found: f"params={told!r},", _text(f"{self.payloads}/{module}.py"), count=1)

    def environment(self, fault: str = "") -> dict[str, str]:
        kept = {"PATH": os.environ["PATH"], "HOME": "/root", "LANG": "C.UTF-8", "TMPDIR": self.temp}
        return {**kept, "IMAGEOPS_STATE_DIR": self.state, **({"IMAGEOPS_FAULT": fault} if fault else {})}

    def call(self, module: str, options: dict[str, Any], *, fault: str = "") -> dict[str, Any]:
        """Run a module to its end; what it says."""
        return self.answer(self.start(module, options, fault=fault))

    def answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        """The result of a started module; no result is `lost`."""
        return self.answers([process])[0]

    def answers(self, processes: list[subprocess.Popen[str]]) -> list[dict[str, Any]]:
        """The results of modules that run at the same time; what Ansible's part leaves of them is not ours."""
        found = [self._answer(process) for process in processes]
        for path in Path(self.temp).glob("*"):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        return found

    def _answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        try:
            out, err = process.communicate(timeout=self.patience)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        traceback = "Traceback" in out + err and process.returncode != -9
        try:
            said: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
        except (ValueError, IndexError):
            said = {"lost": True, "msg": f"exit code {process.returncode}: {(out + err)[-600:]}"}
        return {**said, **({"traceback": (out + err)[-1500:]} if traceback else {})}

    def wait_for_job(self, job: str) -> bool:
        """Wait until a job's unit has no process any more."""
        return wait_until(lambda: not of_unit(job), self.patience, pause=0.01)

    def left(self, job: str, *, kept: str = "") -> list[str]:
        """What must not be there after the end of everything; `kept` is a pattern of names that may be."""
        wait_until(lambda: not has_unit(job), 60, pause=0.01)
        found = [f"unit imageops-job-{job}"] if has_unit(job) else []
        found += [path for path in self._odd_files(job) if not (kept and re.search(kept, path))]
        found += [path for path in (f"/run/imageops-job-{job}",) if os.path.exists(path)]
        found += [f"socket {path}" for path in _dead_sockets() if path not in self._not_ours]
        found += [f"process {one}" for one in using(self.folder)]
        return found + [f"mount {one}" for one in mounts_below(self.disk)]

    def _odd_files(self, job: str) -> list[str]:
        odd = []
        for top, folders, files in os.walk(self.disk):
            names = [name for name in [*folders, *files] if name not in ("lost+found", *_LOCKS)]
            odd += [f"{top}/{name}" for name in names if name.startswith(".") or _is_socket(f"{top}/{name}")]
        for top, _folders, files in os.walk(self.state):
            of_job = top == f"{self.state}/jobs/{job}"
            # A job that was killed and that nobody had to start again is not tidied.
            dead = of_job and not self._is_done(job)
            for name in files:
                path = f"{top}/{name}"
                hidden = name.startswith(".") and not dead
                if (
                    hidden
                    or _is_socket(path)
                    or (of_job and not dead and name not in _JOB_FILES)
                    or top.endswith(("run", "downloads", "pulls"))
                    or os.path.basename(os.path.dirname(top)) == "publishes"
                ):
                    odd.append(path)
        return odd

    def _is_done(self, job: str) -> bool:
        """Whether the last job has said that it is done."""
        with contextlib.suppress(OSError, ValueError):
            return bool(json.loads(Path(self.state, "jobs", job, "state.json").read_text())["status"] == "done")
        return False

    def empty(self, path: str) -> None:
        """Remove what is in a folder."""
        for entry in os.scandir(path):
            if entry.name != "lost+found":
                shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)

    def copy(self, *names: str) -> None:
        """Bring master files to the folder in which modules work, as new files."""
        for name in names:
            # Holes stay holes, and no attribute of ours comes with it.
            run("cp", "--sparse=always", f"{self.master}/{name}", f"{self.disk}/{name}")


_TEXTS: dict[str, str] = {}


def _text(path: str) -> str:
    if path not in _TEXTS:
        _TEXTS[path] = Path(path).read_text(encoding="utf-8")
    return _TEXTS[path]


def _dead_sockets() -> list[str]:
    """Sockets of engines, in temporary folders of ours, that nobody listens on; a new one may be about to be used."""
    known = Path("/proc/net/unix").read_text(encoding="utf-8")
    found = []
    for path in glob.glob(_SOCKETS):
        with contextlib.suppress(OSError):
            if path not in known and time.time() - os.stat(path).st_mtime > _USED_SECONDS:
                found.append(path)
    return found


def _is_socket(path: str) -> bool:
    with contextlib.suppress(OSError):
        return stat.S_ISSOCK(os.lstat(path).st_mode) or stat.S_ISFIFO(os.lstat(path).st_mode)
    return False


def job_id(kind: str, target: str) -> str:
    return f"{kind}-{hashlib.sha256(os.fsencode(target)).hexdigest()[:16]}"
