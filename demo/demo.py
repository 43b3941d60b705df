# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job on a fleet of two hypervisors: create, convert, deploy, clone, snapshot, with guests that boot.

Sets everything up first: packages, virtual environment, two hypervisor hosts in containers, a small guest. Run again it
changes nothing and says so.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
HERE = TOP / "demo"
FLEET = TOP / "tests" / "fleet"
INVENTORY = TOP / ".build" / "fleet" / "inventory.yml"
GUEST = TOP / ".build" / "fleet" / "guest" / "imageops-guest.raw"
HOSTS = ("deb12", "deb13")


@dataclass(frozen=True)
class Step:
    """One line of the table of times."""

    title: str
    argv: list[str]
    idle: str = ""  # what the command says when there is nothing to do; a playbook says it in its recap


@dataclass(frozen=True)
class Done:
    """What a step took, and whether it changed something."""

    title: str
    seconds: float
    changed: bool


def playbook(title: str, name: str, *extra: str) -> Step:
    return Step(title, [str(TOP / ".venv/bin/ansible-playbook"), "-i", str(INVENTORY), name, *extra])


def variables(name: str) -> tuple[str, str]:
    return "-e", f"@{HERE / 'vars' / name}.yml"


STEPS = (
    Step("set up this machine", [str(TOP / "tests/setup")]),
    Step("start the fleet", [str(FLEET / "fleet"), "up"], idle="already up"),
    Step("build the guest", [str(FLEET / "guest")], idle="is up to date"),
    playbook("prepare the hosts", str(HERE / "prepare.yml"), "-e", f"demo_image={GUEST}"),
    playbook("create disks", "imageops.fleet.create", *variables("create")),
    playbook("convert the image", "imageops.fleet.convert", *variables("convert")),
    playbook("deploy machines", "imageops.fleet.deploy", *variables("deploy")),
    playbook("clone machines", "imageops.fleet.clone", *variables("clone")),
    playbook("take a snapshot", "imageops.fleet.snapshot", *variables("snapshot")),
)


def stream(argv: list[str]) -> str:
    """Run a command and show what it says at once."""
    color = "true" if sys.stdout.isatty() else "false"
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(TOP / ".build/collections"),
        "ANSIBLE_FORCE_COLOR": color,
        "PYTHONUNBUFFERED": "1",
    }
    lines = []
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"demo: '{' '.join(argv)}' failed; what it says is above.")
    return re.sub(r"\x1b\[[0-9;]*m", "", "".join(lines))


def changed(step: Step, text: str) -> bool:
    """A playbook counts its changes; the set-up says nothing when there is nothing to do, the others say so."""
    counts = re.findall(r"\bchanged=(\d+)", text)
    if counts:
        return any(int(count) for count in counts)
    return step.idle not in text if step.idle else bool(text.strip())


def run(number: int, step: Step) -> Done:
    print(f"\n==== {number}/{len(STEPS)} {step.title} {'=' * (70 - len(step.title))}\n", flush=True)
    began = time.monotonic()
    text = stream(step.argv)
    return Done(step.title, time.monotonic() - began, changed(step, text))


def look(host: str) -> list[dict[str, object]]:
    script = (HERE / "look.py").read_text(encoding="utf-8")
    command = [str(FLEET / "fleet"), "ssh", host, "python3", "-"]
    return json.loads(subprocess.run(command, input=script, stdout=subprocess.PIPE, text=True, check=True).stdout)


def sentence(machine: dict[str, object]) -> str:
    words = dict(machine["said"])  # type: ignore[call-overload]
    if not words:
        return "nothing: it was never started"
    return f"I am {words['hostname']}, UUID {words['uuid'][:8]}, MAC {words['mac']}, boot {words['boots']}, instance {words['instance']}"


def print_table(rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


def report(done: list[Done]) -> None:
    rows = [("host", "machine", "state", "firmware", "from image", "snapshots", "its guest says on the serial console")]
    used = set()
    for host in HOSTS:
        for machine in look(host):
            layers = [str(layer) for layer in machine["chain"]]  # type: ignore[union-attr, attr-defined]
            snapshots = ", ".join(machine["snapshots"]) or "-"  # type: ignore[arg-type]
            cells = (machine["name"], machine["state"], machine["firmware"], layers[-1] if layers else "-", snapshots)
            rows.append((host, *map(str, cells), sentence(machine)))
            used.add(str(machine["acceleration"]))
    print(f"\n{'=' * 80}\n")
    print_table(rows)
    print()
    print_table(
        [("step", "seconds", "changed"), *((d.title, f"{d.seconds:.1f}", "yes" if d.changed else "no") for d in done)]
    )
    accelerations = {"KVM": "KVM", "TCG": "TCG (emulation: this CPU runs no guests by itself)"}
    print(f"\nGuests run with {' and '.join(accelerations.get(name, name) for name in sorted(used))}.")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--expect-unchanged", action="store_true", help="fail when anything changes")
    expect_unchanged = parser.parse_args().expect_unchanged
    began = time.monotonic()
    done = [run(number, step) for number, step in enumerate(STEPS, start=1)]
    report(done)
    names = [step.title for step in done if step.changed]
    total = time.monotonic() - began
    if not names:
        print(f"Nothing changed: all was as declared. {total:.0f} s in all. 'make demo-down' removes every trace.")
    else:
        print(f"Changed: {', '.join(names)}. {total:.0f} s in all. Run 'make demo' again: nothing will change.")
    return 1 if names and expect_unchanged else 0


if __name__ == "__main__":
    sys.exit(main())
