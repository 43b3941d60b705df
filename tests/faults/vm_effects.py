# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of vm_snapshot in which libvirtd is killed at each of its effects; on_host/vm_effect_rounds.py plays them on the host.

Effects are counted by a library, which is compiled here: hosts need no compiler.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from host import BUILD, Failed, Host
from rounds_of import driver_on, told

GROUPS = ("vm_effects",)
# An argument of tests/setup, for what this group needs on our side.
SET_UP = "compiler"
_SOURCE = Path(__file__).parent / "on_host" / "effects.c"
_LIBRARY = BUILD / "faults" / "libeffects.so"
_OPTIONS = ("-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-U_FORTIFY_SOURCE")
# A sample strikes at each one in so many effects.
_EVERY = 12


def compile_library(path: Path = _LIBRARY) -> None:
    """Make the library of effects.c."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not compiler:
        raise Failed(f"group {GROUPS[0]} needs a C compiler, and there is no gcc; 'tests/setup {SET_UP}' installs it")
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [compiler, *_OPTIONS, "-o", str(path), str(_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(f"{_SOURCE.name} could not be compiled: {done.stderr.strip()}")


def play(host: Host, groups: list[str], *, quick: bool, seed: str, only: str) -> Iterator[dict[str, Any]]:
    """Play the rounds on a host, as they end."""
    with driver_on(host) as folder:
        host.send(_LIBRARY, f"{folder}/{_LIBRARY.name}")
        words = ["python3", f"{folder}/vm_effect_rounds.py", "--payloads", folder, "--seed", seed, "--only", only]
        words += ["--every", str(_EVERY if quick else 1), *groups]
        yield from told(host, shlex.join(words))
