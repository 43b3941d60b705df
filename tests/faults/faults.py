# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruption tests on the demo fleet: they really kill, fill and cut. Prints a table, writes JSON."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time

import chain
import check
import compact
import convert
import disk_snapshot
import jobs
import vm
from host import BUILD, TOP, Failed, Host, hosts

GROUPS = {
    "chain": chain,
    "check": check,
    "compact": compact,
    "convert": convert,
    "disk_snapshot": disk_snapshot,
    "jobs": jobs,
    "vm": vm,
}


def run_case(host: Host, group: str, name: str) -> dict[str, object]:
    """One case on one host; `problem` is empty when it held."""
    print(f"faults: {host.name}: {group}: {name}", flush=True)
    began = time.monotonic()
    problem = ""
    try:
        GROUPS[group].CASES[name](host)
    except Failed as failed:
        problem = str(failed)
        print(f"faults: FAILED: {problem}", flush=True)
    return {
        "host": host.name,
        "case": f"{group}: {name}",
        "seconds": round(time.monotonic() - began, 1),
        "problem": problem,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", default=list(GROUPS), help="which cases (default: all)")
    parser.add_argument("--host", help="only this host of the fleet")
    wanted = parser.parse_args()
    subprocess.run([TOP / "tests" / "setup"], check=True)
    subprocess.run([TOP / "tests" / "fleet" / "fleet", "up"], check=True)
    rows = []
    for host in hosts():
        if wanted.host in (None, host.name):
            for group in wanted.groups:
                GROUPS[group].prepare(host)
                rows += [run_case(host, group, name) for name in GROUPS[group].CASES]
                GROUPS[group].tidy(host)
    report = BUILD / "faults.json"
    report.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(f"\n{'host':<8}{'case':<44}{'seconds':>9}  outcome")
    for row in rows:
        print(f"{row['host']:<8}{row['case']:<44}{row['seconds']:>9}  {'FAILED' if row['problem'] else 'held'}")
    bad = sum(1 for row in rows if row["problem"])
    print(f"\nwritten to {report.relative_to(TOP)}\n{len(rows) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
