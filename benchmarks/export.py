# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An OVA by image_export beside one by hand (qemu-img convert, sha256sum, tar): time as a ratio, in shuffled rounds, durable on both sides.

Ours is the work of the job in this process, with its verification of the source, record and rename; a task adds what Ansible takes.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_export_spec import IMAGE_EXPORT
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_job import export
from ansible_collections.imageops.fleet.plugins.module_utils._operations.export_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from writers import MIB, RESULTS, processor_seconds, sample

OURS, BY_HAND = "image_export", "qemu-img, sha256sum, tar"


def ours(source: Path, target: Path) -> None:
    """What the job does."""
    options: dict[str, Any] = {name: one.get("default") for name, one in IMAGE_EXPORT.argument_spec.items()}
    disks = [{"path": str(source), "format": "raw", "name": None, "backing": None}]
    given = {**options, "dest": str(target), "preset": "ova", "disks": disks, "on_interrupt": "detach"}
    request = read_request(given, Tools())
    lock = os.open("/dev/null", os.O_RDONLY)
    try:
        export(request.job("bench").params, Progress(JobState("export-bench", "export", "r"), Clock()), lock)
    finally:
        os.close(lock)


def by_hand(source: Path, target: Path) -> None:
    """What people write into a script; the descriptor costs nothing, so an empty one stands for it."""
    folder = target.parent / "by-hand"
    folder.mkdir()
    disk = folder / "web-disk1.vmdk"
    (folder / "web.ovf").write_text("<Envelope/>\n")
    convert = ["qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", source, disk]
    subprocess.run(convert, check=True)
    listed = subprocess.run(["sha256sum", "--tag", "web.ovf", disk.name], cwd=folder, check=True, capture_output=True)
    (folder / "web.mf").write_bytes(listed.stdout)
    subprocess.run(["tar", "--format=ustar", "-cf", target, "web.ovf", "web.mf", disk.name], cwd=folder, check=True)
    with target.open("rb") as stream:
        os.fsync(stream.fileno())
    shutil.rmtree(folder)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mebibytes", type=int, default=512, help="data in the disk, which is twice as large")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tree", default="/usr", help="what the disk's data are taken from")
    wanted = parser.parse_args()
    seconds: dict[str, list[float]] = {OURS: [], BY_HAND: []}
    burned: dict[str, list[float]] = {OURS: [], BY_HAND: []}
    sizes: dict[str, int] = {}
    with tempfile.TemporaryDirectory(prefix="imageops-bench-", dir="/var/tmp") as name:
        folder = Path(name)
        os.environ["IMAGEOPS_STATE_DIR"] = str(folder / "state")
        source, target = folder / "source.raw", folder / "web.ova"
        sample(source, wanted.tree, wanted.mebibytes * MIB)
        os.truncate(source, 2 * wanted.mebibytes * MIB)
        ways = [(OURS, ours), (BY_HAND, by_hand)]
        for _round in range(wanted.rounds):
            random.shuffle(ways)
            for way, make in ways:
                target.unlink(missing_ok=True)
                os.sync()
                began, used = time.monotonic(), processor_seconds()
                make(source, target)
                seconds[way].append(time.monotonic() - began)
                burned[way].append(processor_seconds() - used)
                sizes[way] = target.stat().st_size
    rows = [
        {
            "way": way,
            "seconds": round(statistics.median(seconds[way]), 2),
            "processor_seconds": round(statistics.median(burned[way]), 2),
            "mebibytes": round(sizes[way] / MIB, 1),
            "times_as_fast": round(statistics.median(seconds[BY_HAND]) / statistics.median(seconds[way]), 2),
        }
        for way in seconds
    ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "export.json").write_text(json.dumps({"mebibytes": wanted.mebibytes, "rows": rows}, indent=2) + "\n")
    print(f"{'way':<28}{'seconds':>10}{'processor':>12}{'MiB':>10}{'times as fast':>16}")
    for row in rows:
        print(
            f"{row['way']:<28}{row['seconds']:>10}{row['processor_seconds']:>12}{row['mebibytes']:>10}{row['times_as_fast']:>16}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
