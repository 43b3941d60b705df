# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our writers of compressed images beside qemu-img's default: time and size as ratios, in shuffled rounds, durable on both sides."""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Callable

TOP = Path(__file__).resolve().parents[1]
COLLECTIONS = TOP / ".build" / "collections"
RESULTS = TOP / ".build" / "benchmarks"
MIB = 1 << 20

sys.path.insert(0, str(COLLECTIONS))

from ansible_collections.imageops.fleet.plugins.module_utils._formats import deflate, libzstd
from ansible_collections.imageops.fleet.plugins.module_utils._formats.encoder import Encoder
from ansible_collections.imageops.fleet.plugins.module_utils._formats.guest_content import RawContent
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_writer import write_qcow2
from ansible_collections.imageops.fleet.plugins.module_utils._formats.stream_vmdk_writer import write_stream_vmdk

Way = Callable[[Path, Path], None]


def sample(path: Path, tree: str, size: int) -> None:
    """A raw disk of `size` bytes: pieces from everywhere in a tar archive of `tree`."""
    piece = 4 * MIB
    with tempfile.TemporaryFile(dir=path.parent) as archive, path.open("wb") as out:
        subprocess.run(["tar", "-cf", "-", tree], stdout=archive, stderr=subprocess.DEVNULL, check=False)
        count, last = size // piece, max(0, archive.tell() - piece)
        for number in range(count):
            archive.seek(last * number // max(1, count - 1))
            out.write(archive.read(piece))


def qemu_img(source: Path, target: Path, *, arguments: list[str]) -> None:
    """qemu-img as people call it, then what it leaves out: the flush."""
    subprocess.run(["qemu-img", "convert", "-f", "raw", *arguments, source, target], check=True)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())


def ours(source: Path, target: Path, *, encoder: Encoder, vmdk: bool) -> None:
    """Our writer in this process; it flushes by itself."""
    with source.open("rb") as stream, target.open("wb") as out:
        content = RawContent(stream.fileno(), source.stat().st_size)
        if vmdk:
            write_stream_vmdk(
                content,
                out.fileno(),
                adapter_type="ide",
                hardware_version=4,
                encoder=encoder,
                report=lambda end, read: None,
            )
        else:
            write_qcow2(
                content,
                out.fileno(),
                cluster_size=65536,
                version=3,
                encoder=encoder,
                report=lambda end, read: None,
            )


def ways() -> dict[tuple[str, str], Way]:
    """Every table's ways; the first of each is what the others are compared with."""
    found: dict[tuple[str, str], Way] = {
        ("qcow2", "qemu-img -c"): partial(qemu_img, arguments=["-O", "qcow2", "-c"]),
        ("qcow2", "qemu-img -c -m 16 -W"): partial(qemu_img, arguments=["-m", "16", "-W", "-O", "qcow2", "-c"]),
    }
    for known in _distinct(deflate.standard_qcow2_encoder(), deflate.qcow2_encoder()):
        found["qcow2", f"ours, {known.name}"] = partial(ours, encoder=known, vmdk=False)
    zstd = ["-m", "16", "-W", "-O", "qcow2", "-c", "-o", "compression_type=zstd"]
    found["qcow2", "qemu-img zstd -m 16"] = partial(qemu_img, arguments=zstd)
    encoder = libzstd.zstd_encoder()
    if encoder:
        found["qcow2", f"ours, {encoder.name}"] = partial(ours, encoder=encoder, vmdk=False)
    stream = ["-O", "vmdk", "-o", "subformat=streamOptimized"]
    found["streamOptimized", "qemu-img"] = partial(qemu_img, arguments=stream)
    for known in _distinct(deflate.standard_vmdk_encoder(), deflate.vmdk_encoder()):
        found["streamOptimized", f"ours, {known.name}"] = partial(ours, encoder=known, vmdk=True)
    return found


def _distinct(*encoders: Encoder) -> list[Encoder]:
    return list({encoder.name: encoder for encoder in encoders}.values())


def processor_seconds() -> float:
    """What we and our children have used: on a busy machine it tells more than the clock."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(source: Path, folder: Path, rounds: int) -> list[dict[str, object]]:
    """One row per way: median and processor seconds, size, and all three as ratios to qemu-img's default."""
    seconds: dict[tuple[str, str], list[float]] = {}
    burned: dict[tuple[str, str], list[float]] = {}
    sizes: dict[tuple[str, str], int] = {}
    order = list(ways().items())
    for _round in range(rounds):
        random.shuffle(order)
        for name, way in order:
            target = folder / "target"
            target.unlink(missing_ok=True)
            os.sync()
            began, used = time.monotonic(), processor_seconds()
            way(source, target)
            seconds.setdefault(name, []).append(time.monotonic() - began)
            burned.setdefault(name, []).append(processor_seconds() - used)
            sizes[name] = target.stat().st_size
            driver = "vmdk" if name[0] == "streamOptimized" else "qcow2"
            subprocess.run(["qemu-img", "compare", "-q", "-f", "raw", "-F", driver, source, target], check=True)
    base: dict[str, tuple[str, str]] = {}
    rows: list[dict[str, object]] = []
    for name in ways():
        first = base.setdefault(name[0], name)
        median = statistics.median(seconds[name])
        rows.append(
            {
                "table": name[0],
                "way": name[1],
                "rounds": rounds,
                "median": round(median, 3),
                "least": round(min(seconds[name]), 3),
                "processor": round(min(burned[name]), 3),
                "faster": round(statistics.median(seconds[first]) / median, 2),
                "cheaper": round(min(burned[first]) / min(burned[name]), 2),
                "size": sizes[name],
                "size_ratio": round(sizes[name] / sizes[first], 4),
            }
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", default="/usr/lib", help="what the disk's content is taken from (default: /usr/lib)")
    parser.add_argument("--size", type=int, default=256, help="MiB of content (default: 256)")
    parser.add_argument("--rounds", type=int, default=5)
    wanted = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=RESULTS) as name:
        folder = Path(name)
        sample(folder / "source", wanted.tree, wanted.size * MIB)
        rows = measure(folder / "source", folder, wanted.rounds)
    (RESULTS / "writers.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    head = f"{'table':<17}{'way':<22}{'median s':>9}{'least':>8}{'cpu s':>8}{'faster':>8}{'cheaper':>9}"
    print(f"{head}{'size':>12}{'ratio':>8}")
    for row in rows:
        numbers = f"{row['median']:>9}{row['least']:>8}{row['processor']:>8}{row['faster']:>8}{row['cheaper']:>9}"
        numbers += f"{row['size']:>12}{row['size_ratio']:>8}"
        print(f"{row['table']:<17}{row['way']:<22}{numbers}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
