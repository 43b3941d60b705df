# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Side-by-side measurements on one fleet host: the rival's way and ours in one run, as ratios."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / ".build"
VENV = BUILD / "venv-bench"
RESULTS = BUILD / "benchmarks"
# The way that a table's other ways are compared with.
BASELINES = {
    "second run": "ping", "deploy": "rival's loops", "define": "rival's loops", "destroy": "rival's loops", "forget": "bare script",
    "clone": "virt-clone", "snapshot": "virsh", "whole second run": "rival's loops",
}  # fmt: skip
BASELINE = "qemu-img"
PLAYBOOKS = ("convert", "formats", "chain", "inspect", "deploy", "vms")


def prepare() -> None:
    """The fleet, and a virtual environment with other people's collections."""
    subprocess.run([TOP / "tests" / "setup", "bench"], check=True)
    subprocess.run([TOP / "tests" / "fleet" / "fleet", "up"], check=True)


def run(playbook: str, host: str, extra: list[str], log: Path) -> None:
    """One playbook of measurements with these extra variables; the callback writes its times to `log`."""
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
        "ANSIBLE_CALLBACK_PLUGINS": str(TOP / "benchmarks" / "callback_plugins"),
        "ANSIBLE_CALLBACKS_ENABLED": "bench_timer",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_DISPLAY_OK_HOSTS": "False",
        "IMAGEOPS_BENCH_LOG": str(log),
    }
    command = [VENV / "bin" / "ansible-playbook", "-i", BUILD / "fleet" / "inventory.yml", "-e", f"bench_host={host}"]
    command += [part for one in extra for part in ("-e", one)]
    subprocess.run([*command, TOP / "benchmarks" / f"{playbook}.yml"], check=True, env=environment)


def is_loop(way: str) -> bool:
    """Whether a way is one of the loops of which the rival's is made."""
    return way.endswith(("by command", "by community.libvirt"))


def rows_of(log: Path) -> list[dict[str, object]]:
    """One row per table and way: rounds, median, least and most seconds, ratio to the baseline's median."""
    times: dict[str, dict[str, list[float]]] = {}
    for line in log.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        times.setdefault(entry["table"], {}).setdefault(entry["way"], []).append(entry["seconds"])
    rows: list[dict[str, object]] = []
    for table, ways in times.items():
        if any(map(is_loop, ways)):
            # A deployment is a definition and a start.
            before = times.get(table.replace("deploy", "define", 1), {}) if table.startswith("deploy") else {}
            spent = [statistics.median(found[way]) for found in (ways, before) for way in found if is_loop(way)]
            ways["rival's loops"] = [sum(spent)]
        known = [name for name in BASELINES if table.startswith(name)]
        rival = ways.get(BASELINES[max(known, key=len)] if known else BASELINE)
        for way, seconds in ways.items():
            median = statistics.median(seconds)
            spread = {"least": round(min(seconds), 3), "most": round(max(seconds), 3)}
            ratio = {"ratio": round(median / statistics.median(rival), 3) if rival else ""}
            rows.append(
                {"table": table, "way": way, "rounds": len(seconds), "median": round(median, 3), **spread, **ratio}
            )
    return rows


def show(rows: list[dict[str, object]]) -> None:
    print(f"\n{'table':<26}{'way':<22}{'rounds':>7}{'median s':>10}{'least':>9}{'most':>9}{'ratio':>8}")
    for row in rows:
        numbers = f"{row['rounds']:>7}{row['median']:>10}{row['least']:>9}{row['most']:>9}{row['ratio']:>8}"
        print(f"{row['table']:<26}{row['way']:<22}{numbers}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("playbooks", nargs="*", default=PLAYBOOKS, help="which measurements (default: all)")
    parser.add_argument("--host", default="deb12", help="the fleet's host to measure on")
    parser.add_argument(
        "--no-writers", dest="writers", action="store_false", help="without the writers of compressed images"
    )
    parser.add_argument(
        "-e",
        dest="extra",
        action="append",
        default=[],
        metavar="JSON",
        help='variables of the playbooks, as {"bench_mib": 8192}',
    )
    wanted = parser.parse_args()
    prepare()
    RESULTS.mkdir(parents=True, exist_ok=True)
    log = RESULTS / "times.jsonl"
    log.write_text("", encoding="utf-8")
    for playbook in wanted.playbooks:
        run(playbook, wanted.host, wanted.extra, log)
    if wanted.writers:
        subprocess.run([TOP / "benchmarks" / "writers"], check=True)
    rows = rows_of(log)
    (RESULTS / "results.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    show(rows)
    print(f"\nwritten to {(RESULTS / 'results.json').relative_to(TOP)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
