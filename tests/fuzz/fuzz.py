# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fuzz every parser for a while: no input may make one fail, take a second, or take 64 MiB.

tests/fuzz/run [--seconds N] [--format F ...] [--keep FOLDER]

Prints how many inputs each format got. Images that failed are kept in .build/fuzz; `tests/fuzz/run --image FILE` looks at one
of them again. What failed becomes an attack of the corpus.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]
KEPT = TOP / ".build" / "fuzz"
sys.path.insert(0, str(TOP / ".build" / "collections"))

from ansible_collections.imageops.fleet.plugins.module_utils._formats import vhdx
from ansible_collections.imageops.fleet.tests.fuzz.judge import FORMATS, measure
from ansible_collections.imageops.fleet.tests.fuzz.programs import loaded


def fuzz(form: str, seconds: float, *, temporary: Path, keep: Path) -> tuple[int, list[Path]]:
    """How many inputs there were, and the images that look wrong."""
    suspects, inputs = temporary / f"{form}-suspects", keep / f"{form}-inputs"
    for each in (suspects, inputs):
        each.mkdir(parents=True, exist_ok=True)
    argv = [
        sys.executable,
        str(Path(__file__).with_name("one_format.py")),
        form,
        str(seconds),
        str(suspects),
        str(inputs),
    ]
    environment = {**os.environ, "PYTHONPATH": str(TOP / ".build" / "collections")}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{form}: the fuzzer itself failed:\n{done.stderr[-4000:]}")
    return int(done.stdout.split()[-1]), sorted(suspects.iterdir())


def confirm(images: list[Path]) -> list[str]:
    """What is wrong with each of them, measured in this process; those are kept."""
    found = []
    for path in images:
        image, declared = loaded(path.read_text(encoding="utf-8"))
        wrong = measure(image, declared)
        if wrong:
            KEPT.mkdir(parents=True, exist_ok=True)
            kept = KEPT / path.name
            kept.write_bytes(path.read_bytes())
            found.append(f"{kept}: from '{image.seed.name}': {wrong}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=40, help="for all formats together (default: 40)")
    parser.add_argument("--format", action="append", choices=FORMATS, help="only these")
    parser.add_argument("--keep", type=Path, help="folder of inputs to start from and to add to")
    parser.add_argument("--image", type=Path, help="look at an image that was kept again")
    wanted = parser.parse_args()
    # As in the fuzzing processes: it takes most of the time, and nearly no change keeps it right.
    vhdx._checksum_holds = lambda data: True
    if wanted.image:
        failures = confirm([wanted.image])
        print("\n".join(failures) or "all holds")
        return 1 if failures else 0
    formats = wanted.format or list(FORMATS)
    failures, total = [], 0
    with tempfile.TemporaryDirectory(prefix="imageops-fuzz-") as temporary:
        for form in formats:
            here = Path(temporary)
            inputs, suspects = fuzz(form, wanted.seconds / len(formats), temporary=here, keep=wanted.keep or here)
            found = confirm(suspects)
            print(f"{form:<8}{inputs:>10} inputs{len(suspects):>5} suspects{len(found):>5} failures", flush=True)
            failures, total = failures + found, total + inputs
    print(f"{'all':<8}{total:>10} inputs", *failures, sep="\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
