# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold of every input, and the images to start from."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._formats.probe import inspect
from ansible_collections.imageops.fleet.plugins.module_utils._formats.reader import MAX_VIRTUAL_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._formats.rules import RULES
from ansible_collections.imageops.fleet.plugins.module_utils._formats.safety import REFUSED
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_info import printable
from ansible_collections.imageops.fleet.tests.corpus.images import ATTACKS, VALID
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop
from ansible_collections.imageops.fleet.tests.fuzz.programs import Image
from ansible_collections.imageops.fleet.tests.fuzz.sparse import Seed, seed_of

FORMATS = ("qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed", "luks", "raw")
# Of the processor; a verdict takes a tenth of it here.
SECONDS, MEMORY = 1.0, 64 << 20
# Seeds with more to read are too slow to start from; the same ones are left out each time, as programs name them by number.
MOST_SECTORS = 1000


class Broken(Exception):
    """An input for which something doesn't hold."""


def seeds_of(form: str, root: Path) -> list[Seed]:
    """The images of the corpus that are declared as that format and are one file."""
    shop, found = Shop(root), []
    single = [(one.name, one.make) for one in VALID if one.format == form and not one.backing]
    single += [(one.name, one.make) for one in ATTACKS if one.declared == form]
    for name, make in single:
        path = shop.build(name, make)
        if path.is_file():
            found.append(seed_of(name, path, form, inspect))
    return [seed for seed in found if len(seed.sectors) <= MOST_SECTORS]


def judge(image: Image, declared: str | None) -> None:
    """Look at an image; raises whatever goes wrong."""
    facts: Any = inspect(image.stream(), size=image.size, declared=declared)  # type: ignore[arg-type]
    unknown = {one.rule for one in facts.findings} - set(RULES)
    safe = not any(one.severity in REFUSED for one in facts.findings)
    if unknown:
        raise Broken(f"unknown rules: {unknown}")
    if safe and not 0 <= facts.virtual_size <= MAX_VIRTUAL_SIZE:
        raise Broken(f"accepted with {facts.virtual_size} bytes")
    if safe and declared not in (None, facts.format):
        raise Broken(f"declared {declared}, accepted as {facts.format}")
    if facts.virtual_size < 0:
        raise Broken(f"a virtual size of {facts.virtual_size}")
    json.dumps(
        printable(facts.__dict__ | {"findings": [one.__dict__ for one in facts.findings]}), default=vars
    ).encode()


def measure(image: Image, declared: str | None) -> str | None:
    """What is wrong with an image, in a process that nothing slows down; None when all holds."""
    times = []
    try:
        for _turn in range(3):
            began = time.process_time()
            judge(image, declared)
            times.append(time.process_time() - began)
        tracemalloc.start()
        judge(image, declared)
        peak = tracemalloc.get_traced_memory()[1]
    except Exception as error:  # noqa: BLE001 - any is a failure
        return f"{type(error).__name__}: {error}"
    finally:
        tracemalloc.stop()
    if min(times) > SECONDS:
        return f"took {min(times):.2f} s"
    return f"took {peak >> 20} MiB" if peak > MEMORY else None
