# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking hypervisors for their VMs while an inventory is read.

Another `ansible` process asks them, in parallel, with the inventory sources that were read before: so connection variables, templates,
vaults and group variables mean what they mean in a play. Its answers come as lines of JSON in a file of a private folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

# In the environment of the process that asks: where the answers go, and that it must not ask again.
ANSWERS = "IMAGEOPS_GUESTS_ANSWERS"
_GRACE = 5.0
_START = 60.0
_PAUSE = 0.1
_MOST_WORDS = 400


class NotAsked(Exception):
    """One sentence: why nobody could be asked."""


@dataclass(frozen=True)
class Question:
    """Which hosts are asked, and how; `options` are further arguments of ansible(1), `extra_vars` dictionaries or `@file`."""

    pattern: str
    sources: Sequence[str]
    module_args: Mapping[str, Any]
    basedir: str
    forks: int = 25
    timeout: int = 60
    options: Sequence[str] = ()
    extra_vars: Sequence[Any] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def is_asking() -> bool:
    """Whether this process is the one that asks: then the plugin adds nothing, since it would ask without end."""
    return bool(os.environ.get(ANSWERS))


def ask(question: Question) -> dict[str, dict[str, Any]]:
    """By host, its `vms`, or the `error` for which it has none to tell; raises NotAsked."""
    with tempfile.TemporaryDirectory(prefix="imageops-guests-") as folder:
        answers, said = os.path.join(folder, "answers"), os.path.join(folder, "said")
        command = [*_command(question), *_extra_vars(question, folder), "--", question.pattern]
        environment = {**os.environ, **question.environment, ANSWERS: answers}
        with open(said, "wb") as stream:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, env=environment, start_new_session=True
            )
        with _ended(process):
            in_time = _wait(process, answers, question)
        return _collected(answers, said, in_time=in_time)


def _command(question: Question) -> list[str]:
    sources = [f"--inventory={source}" for source in question.sources]
    return [
        sys.executable, "-m", "ansible", "adhoc", *sources, "--module-name=imageops.fleet.vm_info",
        f"--args={json.dumps(dict(question.module_args))}", f"--forks={question.forks}",
        f"--task-timeout={question.timeout}", f"--playbook-dir={question.basedir}", *question.options,
    ]  # fmt: skip


def _extra_vars(question: Question, folder: str) -> Iterator[str]:
    """By files, since values may be secret."""
    for number, given in enumerate(question.extra_vars):
        if not isinstance(given, Mapping):
            yield f"--extra-vars={given}"
            continue
        path = os.path.join(folder, f"extra-{number}.json")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as stream:
            json.dump(dict(given), stream, default=str)
        yield f"--extra-vars=@{path}"


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Leave no process behind, also when this one is interrupted: the other has a session of its own."""
    try:
        yield
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            if process.poll() is None:
                with contextlib.suppress(subprocess.TimeoutExpired, ProcessLookupError):
                    os.killpg(process.pid, sign)
                    process.wait(_GRACE)


def _wait(process: subprocess.Popen[bytes], answers: str, question: Question) -> bool:
    """Until all have answered; each has `timeout` seconds, `forks` at a time."""
    begin = time.monotonic()
    while process.poll() is None:
        hosts = len(_asked(_lines(answers)))
        rounds = -(-hosts // max(1, question.forks)) or 1
        if time.monotonic() - begin > _START + question.timeout * rounds:
            return False
        time.sleep(_PAUSE)
    return True


def _lines(path: str) -> list[dict[str, Any]]:
    """What was written so far; the last line may be half there."""
    if not os.path.exists(path):
        return []
    found = []
    with open(path, encoding="utf-8") as stream:
        for line in stream:
            with contextlib.suppress(json.JSONDecodeError):
                found.append(json.loads(line))
    return found


def _asked(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    return next((line["hosts"] for line in lines if "hosts" in line), [])


def _collected(answers: str, said: str, *, in_time: bool) -> dict[str, dict[str, Any]]:
    lines = _lines(answers)
    if not _asked(lines):
        with open(said, encoding="utf-8", errors="replace") as stream:
            words = " ".join(stream.read().split())[-_MOST_WORDS:]
        raise NotAsked(words or "it said nothing")
    silent = "it gave no answer" if in_time else "it gave no answer in time"
    found: dict[str, dict[str, Any]] = {host: {"error": silent} for host in _asked(lines)}
    for line in lines:
        if "host" in line:
            found[line["host"]] = {"vms": line["vms"]} if "vms" in line else {"error": line["error"]}
    return found
