# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of external snapshots on a fleet host: libvirtd is killed at each of its effects in turn; told as lines of JSON.

An act is done once undisturbed, which tells its effects: what libvirtd says to QEMU and hears from it, and how it changes its
files. Then a round for each of them: libvirtd dies there, another one starts, and the next run of the module makes all right.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from effects import ALL, Effects, chosen
from own_libvirtd import LIBVIRTD, go_apart
from processes import kill, using, wait_until
from rounds import Round
from vm_snapshot_rounds import FOLDER, SCENARIOS, Failed, Host, Lost, Scenario, converge

_GROUP = "vm_effects"
# Seconds that only a hang takes, so that the rounds after it come, too.
_PATIENCE = 300.0
# What ends a round and not the driver.
_FAILURES = (Failed, RuntimeError, OSError, subprocess.SubprocessError)


def act(host: Host, scenario: Scenario, effects: Effects, number: int) -> tuple[list[str], str]:
    """What libvirtd did, the last of which was its effect of this number, and what the module said when it failed."""
    host.fresh(scenario)
    effects.allow(number)
    process = host.start(scenario.options)
    wait_until(lambda: process.poll() is not None or LIBVIRTD.is_dead, host.room.patience, pause=0.005)
    done = effects.end()
    if len(done) == number:
        LIBVIRTD.kill()
    said = host.answer(process)
    if said.get("lost"):
        raise Failed(f"the module said nothing: {said['msg']}")
    return done, str(said["msg"]) if said.get("failed") else ""


def measured(host: Host, scenario: Scenario, effects: Effects) -> list[str]:
    """All effects of an undisturbed run, which must end well."""
    done, said = act(host, scenario, effects, ALL)
    if said or not done:
        raise Failed(f"undisturbed: {said or 'no effect was seen; was the library loaded into libvirtd?'}")
    converge(host, scenario)
    return done


def play(host: Host, scenario: Scenario, effects: Effects, outcome: Round, number: int) -> None:
    """One round. What libvirtd does varies a little: what it really died of is in what was `said`."""
    began = time.monotonic()
    try:
        done, said = act(host, scenario, effects, number)
        outcome.hit = len(done) == number
        outcome.said = f"{len(done)} effects, the last: {done[-1] if done else 'none'}; {said}"[:400]
        if said and not outcome.hit:
            raise Failed(f"nobody was killed: {said}")
        converge(host, scenario)
        outcome.converged = True
    except _FAILURES as error:
        outcome.problem, outcome.lost = str(error)[:1500], isinstance(error, Lost)
        start_anew(host)
    outcome.seconds = round(time.monotonic() - began, 2)


def start_anew(host: Host) -> None:
    """After a round that did not hold, whatever of libvirtd and QEMU hangs or was forgotten ends."""
    LIBVIRTD.kill()
    kill([int(one.split()[0]) for one in using(FOLDER)])
    host.clear()


def play_all(host: Host, scenario: Scenario, effects: Effects, wanted: argparse.Namespace) -> Iterator[Round]:
    """The rounds of a scenario; one that can't even run undisturbed is a round that failed."""
    name, chance = f"{_GROUP}: {scenario.name}", random.Random(f"{wanted.seed} {scenario.name}")
    try:
        done = measured(host, scenario, effects)
    except _FAILURES as error:
        start_anew(host)
        yield Round(name, "none", problem=str(error)[:1500])
        return
    for number in chosen(len(done), wanted.every, chance):
        outcome = Round(name, f"libvirtd dies at effect {number}: {done[number - 1]}")
        if re.search(wanted.only, outcome.strike):
            play(host, scenario, effects, outcome, number)
            yield outcome


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"first words of scenarios' names, such as '{_GROUP}: take'")
    parser.add_argument("--payloads", required=True, help="folder with a payload per module, and libeffects.so")
    parser.add_argument("--every", type=int, default=1, help="only at each one in so many effects")
    parser.add_argument("--only", default="", help="a pattern: only interruptions whose words it is found in")
    parser.add_argument("--seed", default=str(time.time_ns()), help="chooses the first effect, with --every")
    parser.add_argument("--apart", action="store_true", help="the folders of libvirt are others already")
    wanted = parser.parse_args()
    go_apart()
    # Whoever started the driver may go away: then everything is ended all the same.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: sys.exit(1))
    effects = Effects(wanted.payloads)
    LIBVIRTD.variables = effects.variables
    host = Host(wanted.payloads)
    host.room.patience = _PATIENCE
    try:
        LIBVIRTD.start()
        for scenario in SCENARIOS:
            if not wanted.groups or f"{_GROUP}: {scenario.name}".startswith(tuple(wanted.groups)):
                for outcome in play_all(host, scenario, effects, wanted):
                    print(json.dumps(outcome.as_dict()), flush=True)
    finally:
        host.clear()
        shutil.rmtree(host.room.folder, ignore_errors=True)
        LIBVIRTD.end(signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main())
