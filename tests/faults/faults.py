# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruption tests on the demo fleet: they really kill, fill and cut. Prints a table, writes JSON.

The operations on disks and catalogs are interrupted in rounds on the host itself, and libvirtd at each of its effects (vm_effects);
what needs a controller, guests or a registry (build, clone, freeze, images, install, jobs, networks, tasks, vm) runs through Ansible.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import build
import clone
import freeze
import images
import install
import jobs
import networks
import qmp
import rounds_of
import tasks
import vm
import vm_effects
import vm_points
import vm_snapshots
from host import BUILD, TOP, Failed, Host, hosts, prepare_hosts

CASES = {
    "build": build,
    "clone": clone,
    "freeze": freeze,
    "images": images,
    "install": install,
    "jobs": jobs,
    "networks": networks,
    "qmp": qmp,
    "tasks": tasks,
    "vm": vm,
    "vm_points": vm_points,
    "vm_snapshots": vm_snapshots,
}
# What is played in rounds on the host itself.
ROUNDS = (rounds_of, vm_effects)


def run_case(host: Host, group: str, name: str) -> dict[str, Any]:
    """One case on one host; `problem` is empty when it held."""
    print(f"faults: {host.name}: {group}: {name}", flush=True)
    began = time.monotonic()
    problem = ""
    try:
        CASES[group].CASES[name](host)
    except Failed as failed:
        problem = str(failed)
        print(f"faults: FAILED: {problem}", flush=True)
    return {
        "host": host.name,
        "case": f"{group}: {name}",
        "seconds": round(time.monotonic() - began, 1),
        "problem": problem,
    }


def run_cases(host: Host, group: str, wanted: argparse.Namespace) -> list[dict[str, Any]]:
    """Those of a group that are wanted on one host; `wanted.groups` has it whole, or such as 'vm: the first words of a case'."""
    known = getattr(CASES[group], "QUICK", CASES[group].CASES) if wanted.quick else CASES[group].CASES
    asked = tuple(one if ":" in one else f"{one}:" for one in wanted.groups)
    names = [name for name in known if f"{group}: {name}".startswith(asked) and re.search(wanted.only, name)]
    if not names:
        return []
    CASES[group].prepare(host)
    rows = [run_case(host, group, name) for name in names]
    CASES[group].tidy(host)
    return rows


def play(host: Host, wanted: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for each in ROUNDS:
        groups = [group for group in wanted.groups if group.split(":")[0] in each.GROUPS]
        if groups:
            yield from each.play(host, groups, quick=wanted.quick, seed=wanted.seed, only=wanted.only)


def run_rounds(host: Host, wanted: argparse.Namespace) -> list[dict[str, Any]]:
    """All rounds on one host."""
    rounds: list[dict[str, Any]] = []
    began = time.monotonic()
    for one in play(host, wanted):
        rounds.append({"host": host.name, **one})
        if one["problem"]:
            print(f"faults: {host.name}: {one['scenario']}: {one['strike']}: FAILED: {one['problem']}", flush=True)
        elif len(rounds) % 25 == 0:
            print(f"faults: {host.name}: {len(rounds)} rounds, {time.monotonic() - began:.0f} s", flush=True)
    if rounds:
        print(
            f"\n{host.name}, {time.monotonic() - began:.0f} s, seed {wanted.seed}\n{rounds_of.table(rounds_of.summed(rounds))}\n"
        )
    return rounds


def set_up(groups: list[str]) -> None:
    """What the groups need on this machine."""
    compiled = any(group.split(":")[0] in vm_effects.GROUPS for group in groups)
    subprocess.run([TOP / "tests" / "setup", *([vm_effects.SET_UP] if compiled else [])], check=True)
    if compiled:
        vm_effects.compile_library()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    known = [*(group for each in ROUNDS for group in each.GROUPS), *CASES]
    parser.add_argument("groups", nargs="*", default=known, help=f"{' '.join(known)}, or such as 'chain: flatten'")
    parser.add_argument("--host", help="only this host of the fleet; 'first' for the first one")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="a sample: every named point once, two moments from outside, one in twelve effects, one case of jobs and tasks",
    )
    parser.add_argument("--only", default="", help="a pattern: only rounds and cases whose interruption it is found in")
    parser.add_argument("--seed", default=str(time.time_ns() % 10**8), help="chooses the random moments")
    wanted = parser.parse_args()
    if unknown := [group for group in wanted.groups if group.split(":")[0] not in known]:
        parser.error(f"no group {unknown[0]}; they are: {', '.join(known)}")
    try:
        set_up(wanted.groups)
    except Failed as failed:
        parser.exit(1, f"faults: {failed}\n")
    subprocess.run([TOP / "tests" / "fleet" / "fleet", "up"], check=True)
    prepare_hosts()
    rounds_of.make_payloads()
    met = {point for group in CASES.values() for point in getattr(group, "POINTS", ())}
    missed = [point for point in rounds_of.missed_points() if point not in met]
    rounds: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    for number, host in enumerate(hosts()):
        if wanted.host in (None, host.name) or (wanted.host == "first" and number == 0):
            rounds += run_rounds(host, wanted)
            groups = [group for group in CASES if group in {one.split(":")[0] for one in wanted.groups}]
            rows += [row for group in groups for row in run_cases(host, group, wanted)]
    return report(rounds, rows, missed)


def report(rounds: list[dict[str, Any]], rows: list[dict[str, Any]], missed: list[str]) -> int:
    path = BUILD / "faults.json"
    told = {"operations": rounds_of.summed(rounds), "rounds": rounds, "cases": rows, "missed_points": missed}
    path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if rounds:
        print(f"all hosts\n{rounds_of.table(told['operations'])}\n")
    for row in rows:
        print(f"{row['host']:<8}{row['case']:<60}{row['seconds']:>9}  {'FAILED' if row['problem'] else 'held'}")
    if missed:
        print(f"FAILED: no scenario meets the named points {', '.join(missed)}")
    if not rounds and not rows:
        print("FAILED: no round and no case is called so")
        return 1
    bad = sum(1 for row in [*rounds, *rows] if row["problem"])
    print(f"\nwritten to {path.relative_to(TOP)}\n{len(rounds) + len(rows) - bad} passed, {bad} failed")
    return 1 if bad or missed else 0


if __name__ == "__main__":
    sys.exit(main())
