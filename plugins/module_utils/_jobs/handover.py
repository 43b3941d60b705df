# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets on their way to a job: through a named pipe in its folder, so that they are never in a file.

Whoever starts the job fills the pipe and holds it open until the job works. The pipe's content lives in the kernel and dies
with its last holder; its name goes when the job has read it.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from typing import Any

from .._errors import EngineError, InvalidOption
from .state import job_dir

_NAME = "secrets"
# What a pipe holds by default (pipe(7)).
_MOST_BYTES = 65536
MASK = "********"


@contextlib.contextmanager
def handed_over(identifier: str, secrets: dict[str, Any]) -> Iterator[None]:
    """Have `secrets` ready for the job that is started meanwhile; nothing is made when there are none."""
    path = os.path.join(job_dir(identifier), _NAME)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    if not secrets:
        yield
        return
    data = json.dumps(secrets).encode()
    if len(data) > _MOST_BYTES:
        raise InvalidOption(
            f"The secrets of this task are larger than {_MOST_BYTES} bytes together; give shorter ones."
        )
    os.mkfifo(path, 0o600)
    # For reading too: so the open doesn't wait for the job.
    handle = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.write(handle, data)
        yield
    finally:
        os.close(handle)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def take_over(directory: str) -> dict[str, Any]:
    """The secrets of the job in `directory`; raises EngineError when they went with who started it."""
    path = os.path.join(directory, _NAME)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        os.unlink(path)
        data = os.read(handle, _MOST_BYTES)
    finally:
        os.close(handle)
    if not data:
        raise EngineError("The task that started this job ended before it had handed its secrets over; run it again.")
    loaded: dict[str, Any] = json.loads(data)
    return loaded


def masked(data: Any, secrets: dict[str, Any]) -> Any:
    """`data` (plain JSON) without the text of any secret."""
    if isinstance(data, dict):
        return {key: masked(value, secrets) for key, value in data.items()}
    if isinstance(data, list):
        return [masked(value, secrets) for value in data]
    if isinstance(data, str):
        for secret in secrets.values():
            if isinstance(secret, str) and secret:
                data = data.replace(secret, MASK)
    return data
