# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What others say of an image, each in its strictest use, and what we say."""

from __future__ import annotations

import json
import struct
import subprocess
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._errors import UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import Link, inspect_chain
from ansible_collections.imageops.fleet.plugins.module_utils._formats.names import qemu_driver
from ansible_collections.imageops.fleet.plugins.module_utils._formats.safety import verdict
from oslo_utils.imageutils import format_inspector

# Raw disks with a partition table are a format of its own there, and OpenStack takes them as raw.
OSLO_NAMES = {"gpt": "raw"}
SECONDS, MEMORY = 2, 1 << 30
SLOW, TURNS = 0.1, 4


@dataclass(frozen=True)
class Opinion:
    """Whether somebody takes the image, and in their words why not."""

    accepted: bool
    reasons: tuple[str, ...] = ()


def chain_of(path: Path, declared: str) -> list[Link]:
    """What our parsers find."""
    return inspect_chain(str(path), declared=declared)


def ours(path: Path, declared: str, *, backing: Sequence[Path] = ()) -> Opinion:
    """Our verdict; the reasons are rules."""
    try:
        judged = verdict(chain_of(path, declared), allowed_backing=[str(one) for one in backing])
    except UnsafeImage:
        return Opinion(False, ("not-a-file",))
    return Opinion(judged.safe, tuple(sorted({found.rule for _where, found in judged.refusals})))


def links(path: Path, declared: str) -> int:
    """How many files a verdict looks at."""
    try:
        return len(chain_of(path, declared))
    except UnsafeImage:
        return 1


def oslo(path: Path, declared: str) -> Opinion:
    """oslo.utils as OpenStack uses it: detect, compare with what was declared, check."""
    if not path.is_file():
        return Opinion(False, ("is no file, so nobody asked",))
    try:
        found = format_inspector.detect_file_format(str(path))
        if OSLO_NAMES.get(str(found), str(found)) != declared:
            return Opinion(False, (f"is {found}",))
        found.safety_check()
    except format_inspector.SafetyCheckFailed as error:
        return Opinion(False, tuple(sorted(error.failures)))
    except (format_inspector.ImageFormatError, ValueError, struct.error) as error:
        return Opinion(False, (f"{type(error).__name__}: {error}",))
    return Opinion(True)


def qemu(path: Path, declared: str) -> Opinion:
    """`qemu-img info` with the declared format, held to some seconds of the processor and some memory.

    The longer limit is for what waits: others run on the machine too.
    """
    argv = ["prlimit", f"--as={MEMORY}", f"--cpu={SECONDS}", "qemu-img", "info", "--output=json"]
    try:
        done = subprocess.run(
            [*argv, "-f", qemu_driver(declared), str(path)],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=SECONDS if path.is_fifo() else 60 * SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Opinion(False, ("hangs",))
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    return Opinion(not done.returncode, tuple(said[-1:]) if done.returncode else ())


def cost(path: Path, declared: str) -> tuple[float, int]:
    """Seconds of the processor and bytes of memory that our verdict takes per file; the least of some turns.

    Others run on the machine too.
    """
    times: list[float] = []
    while not times or (min(times) > SLOW and len(times) < TURNS):
        began = time.process_time()
        files = links(path, declared)
        times.append((time.process_time() - began) / files)
    tracemalloc.start()
    links(path, declared)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return min(times), peak


def qemu_facts(path: Path, declared: str) -> dict[str, Any]:
    """Format and size as QEMU tells them."""
    argv = ["qemu-img", "info", "--output=json", "-f", qemu_driver(declared), str(path)]
    return dict(json.loads(subprocess.run(argv, check=True, capture_output=True).stdout))
