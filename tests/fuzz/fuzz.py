# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzz every parser for a while: no input may make one fail, take a second, or take 64 MiB.

tests/fuzz/run [--seconds N] [--format F ...] [--keep FOLDER]

Prints how many inputs each format got; inputs that fail are printed as programs (see programs.py), which
`tests/fuzz/run --program HEX --format F` runs again; an input that failed becomes an attack of the corpus.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / ".build" / "collections"))

from ansible_collections.imageops.fleet.plugins.module_utils._formats import vhdx
from ansible_collections.imageops.fleet.tests.fuzz.judge import FORMATS, measure, seeds_of


def fuzz(form: str, seconds: float, folder: Path) -> tuple[int, list[bytes]]:
    """How many inputs there were, and those that look wrong."""
    suspects, corpus = folder / f"{form}-suspects", folder / f"{form}-inputs"
    suspects.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(exist_ok=True)
    argv = [
        sys.executable,
        str(Path(__file__).with_name("one_format.py")),
        form,
        str(seconds),
        str(suspects),
        str(corpus),
    ]
    environment = {**os.environ, "PYTHONPATH": str(TOP / ".build" / "collections")}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{form}: the fuzzer itself failed:\n{done.stderr[-4000:]}")
    return int(done.stdout.split()[-1]), [path.read_bytes() for path in sorted(suspects.iterdir())]


def confirm(form: str, programs: list[bytes]) -> list[str]:
    """What is wrong with each of them, measured in this process."""
    if not programs:
        return []
    if form == "vhdx":
        vhdx._checksum_holds = lambda data: True
    with tempfile.TemporaryDirectory(prefix="imageops-fuzz-") as root:
        seeds = seeds_of(form, Path(root))
        told = [(program, measure(program, seeds)) for program in programs]
    return [f"{form}: {wrong}: {program.hex()}" for program, wrong in told if wrong]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="for all formats together (default: 40)")
    parser.add_argument("--format", action="append", choices=FORMATS, help="only these")
    parser.add_argument("--keep", type=Path, help="folder of inputs to start from and to add to")
    parser.add_argument("--program", type=bytes.fromhex, help="run one input again")
    wanted = parser.parse_args()
    formats = wanted.format or list(FORMATS)
    if wanted.program is not None:
        failures = confirm(formats[0], [wanted.program])
        print("\n".join(failures) or "all holds")
        return 1 if failures else 0
    failures, total = [], 0
    with tempfile.TemporaryDirectory(prefix="imageops-fuzz-") as temporary:
        for form in formats:
            inputs, suspects = fuzz(form, wanted.seconds / len(formats), wanted.keep or Path(temporary))
            found = confirm(form, suspects)
            print(f"{form:<8}{inputs:>10} inputs{len(suspects):>5} suspects{len(found):>5} failures", flush=True)
            failures, total = failures + found, total + inputs
    print(f"{'all':<8}{total:>10} inputs", *failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
