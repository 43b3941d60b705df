# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A lab reset beside the same lab removed and deployed anew. Each figure is whole runs of ansible-playbook, from start to end."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
BUILD = TOP / ".build"
RESULTS = BUILD / "benchmarks" / "lab.json"
RESET, ONE, ANEW = "reset", "reset of one", "removed and deployed"


def play(state: str, participants: int, sheets: str, *, only: str = "") -> float:
    """Seconds of one run."""
    variables = {
        "lab_state": state,
        "lab_participants": participants,
        "lab_reset_only": [only] if only else [],
        "lab_sheets_dir": sheets,
        "guest_image": str(BUILD / "fleet" / "guest" / "imageops-guest.raw"),
    }
    command = [TOP / ".venv" / "bin" / "ansible-playbook", "-i", BUILD / "fleet" / "inventory.yml"]
    environment = {
        **os.environ,
        "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
        "ANSIBLE_DISPLAY_OK_HOSTS": "False",
    }
    began = time.monotonic()
    subprocess.run(
        [*command, "-e", json.dumps(variables), TOP / "benchmarks" / "lab.yml"],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
    return time.monotonic() - began


def measure(participants: int, rounds: int) -> dict[str, list[float]]:
    """Seconds by way. Ways change places in each round."""
    found: dict[str, list[float]] = {RESET: [], ONE: [], ANEW: []}
    with tempfile.TemporaryDirectory() as sheets:
        try:
            play("present", participants, sheets)
            for number in range(rounds):
                for way in list(found)[:: -1 if number % 2 else 1]:
                    if way == ANEW:
                        spent = play("absent", participants, sheets) + play("present", participants, sheets)
                    else:
                        spent = play("reset", participants, sheets, only="p01" if way == ONE else "")
                    found[way].append(spent)
        finally:
            play("absent", participants, sheets)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--participants", type=int, default=10, help="of three machines each (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3)
    wanted = parser.parse_args()
    found = measure(wanted.participants, wanted.rounds)
    medians = {way: statistics.median(seconds) for way, seconds in found.items()}
    print(
        f"\n{wanted.participants} participants with three machines each\n{'way':<24}{'median s':>10}{'least':>9}{'most':>9}{'ratio':>8}"
    )
    for way, seconds in found.items():
        ratio = medians[way] / medians[ANEW]
        print(f"{way:<24}{medians[way]:>10.1f}{min(seconds):>9.1f}{max(seconds):>9.1f}{ratio:>8.2f}")
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(
        json.dumps({"participants": wanted.participants, "seconds": found}, indent=2) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
