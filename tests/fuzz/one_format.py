# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One fuzzing process: inputs for one format, for some seconds. Inputs that look wrong are kept as files, to be judged apart.

Arguments: format, seconds, folder for suspects, folder of inputs to start from. With atheris the coverage of our parsers
guides it; without, chance does.
"""

from __future__ import annotations

import hashlib
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

try:
    import atheris
except ImportError:
    atheris = None

PARSERS = "ansible_collections.imageops.fleet.plugins.module_utils._formats"
# Instrumented code is slower, and memory has more in it than parsers; who is suspect is measured again without both.
SUSPECT_SECONDS, SUSPECT_KIB = 1.0, 64 << 10
LONGEST = 3 + 8 * 24

if atheris:
    with atheris.instrument_imports(include=[PARSERS], enable_loader_override=False):
        from ansible_collections.imageops.fleet.plugins.module_utils._formats import (
            foreign,
            luks,
            probe,
            qcow2,
            qed,
            raw,
            vdi,
            vhd,
            vhdx,
            vmdk,
        )
    INSTRUMENTED = (foreign, luks, probe, qcow2, qed, raw, vdi, vhd, vhdx, vmdk)
from ansible_collections.imageops.fleet.plugins.module_utils._formats import vhdx as vhdx_module
from ansible_collections.imageops.fleet.tests.fuzz.judge import judge, seeds_of
from ansible_collections.imageops.fleet.tests.fuzz.programs import Image, build


class Fuzzing:
    """Counts inputs and keeps the suspects."""

    def __init__(self, form: str, suspects: Path) -> None:
        self.inputs = 0
        self._suspects = suspects
        self._known: set[str] = set()
        self._temporary = tempfile.TemporaryDirectory(prefix="imageops-fuzz-")
        self.seeds = seeds_of(form, Path(self._temporary.name))
        self._memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def close(self) -> None:
        self._temporary.cleanup()

    def one(self, program: bytes) -> None:
        """Judge one input."""
        self.inputs += 1
        image, declared = build(program, self.seeds)
        began = time.process_time()
        try:
            judge(image, declared)
        except Exception as error:  # noqa: BLE001 - any is a failure
            self._keep(image, declared, f"{type(error).__name__} {_place(error)}")
        if time.process_time() - began > SUSPECT_SECONDS:
            self._keep(image, declared, f"time {len(self._known) % 20}")
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if memory - self._memory > SUSPECT_KIB:
            self._memory = memory
            self._keep(image, declared, f"memory {memory}")

    def _keep(self, image: Image, declared: str | None, why: str) -> None:
        if why not in self._known:
            self._known.add(why)
            text = image.dumped(declared)
            (self._suspects / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.json").write_text(text)


def _place(error: BaseException) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""


def by_chance(fuzzing: Fuzzing, seconds: float) -> None:
    """Random programs."""
    source, end = random.Random(), time.monotonic() + seconds
    while time.monotonic() < end:
        fuzzing.one(source.randbytes(3 + 8 * source.choice((0, 1, 1, 1, 2, 2, 3, 5, 8, 20))))


def guided(fuzzing: Fuzzing, seconds: float, corpus: Path) -> None:
    """libFuzzer ends the process itself, so the count is told as it grows."""
    if not any(corpus.iterdir()):
        for number in range(len(fuzzing.seeds)):
            for shape in (b"\0", b"\4" + bytes(8), b"\4" + bytes([4]) + bytes(7)):
                (corpus / f"{number}-{len(shape)}-{shape[1:2].hex()}").write_bytes(number.to_bytes(2, "little") + shape)
    options = [f"-max_total_time={max(int(seconds), 1)}", f"-max_len={LONGEST}", "-rss_limit_mb=0", "-timeout=600"]
    options += ["-verbosity=0", "-print_final_stats=0"]
    end = time.monotonic() + seconds

    def one(data: bytes) -> None:
        fuzzing.one(data)
        if time.monotonic() > end:
            finish(fuzzing)

    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def finish(fuzzing: Fuzzing) -> None:
    """Print the count and end at once: libFuzzer would go on."""
    print(fuzzing.inputs, flush=True)
    fuzzing.close()
    os._exit(0)


def main() -> None:
    form, seconds, suspects, corpus = sys.argv[1], float(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
    fuzzing = Fuzzing(form, suspects)
    if form in ("vhdx", "raw"):
        # Its checksum takes most of the time, and nearly no change keeps it right.
        vhdx_module._checksum_holds = lambda data: True
    if atheris:
        guided(fuzzing, seconds, corpus)
    else:
        by_chance(fuzzing, seconds)
    finish(fuzzing)


if __name__ == "__main__":
    main()
