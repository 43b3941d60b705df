# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver on a fleet host: plays the rounds of all scenarios, some scenarios side by side, and tells each round as a line of JSON.

Everything happens on file systems of its own: loop devices on files in memory, so that flushing costs little and a full or a
bad disk is a real one.
"""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import multiprocessing
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any

import catalog_rounds
import chain_rounds
import check_rounds
import convert_rounds
import export_rounds
import publish_rounds
import pull_rounds
import registry_rounds
import rounds
import snapshot_rounds
import url_rounds
from disk_strikes import BadImage, BadSource, FullDisk
from processes import kill, mounts_below, run, using
from room import Room
from scenario import Scenario
from sessions import Session
from strikes import Cancel, Kill, LostSource, Point, Strike

SCENARIOS: tuple[type[Scenario], ...] = (
    *registry_rounds.SCENARIOS,
    *chain_rounds.SCENARIOS,
    *convert_rounds.SCENARIOS,
    *export_rounds.SCENARIOS,
    *url_rounds.SCENARIOS,
    *snapshot_rounds.SCENARIOS,
    *check_rounds.SCENARIOS,
    *publish_rounds.SCENARIOS,
    *pull_rounds.SCENARIOS,
    *catalog_rounds.SCENARIOS,
)
_TOP = "/var/tmp/imageops-rounds"
_MEMORY = "/tmp/imageops-rounds"
_LANE_MEBIBYTES, _SMALL_MEBIBYTES = 1024, 112
_HOWS = ("kill", "full", "broken")
_AT_ONCE = 8


def strikes_of(scenario: Scenario, chance: random.Random, *, quick: bool) -> Iterator[Strike]:
    """All interruptions on the scenario's ordinary disk; `quick`: each named point once, and two moments from outside."""
    whats = ["module", *(["helper"] if scenario.kind else []), *(["engine"] if scenario.engines else [])]
    points = scenario.sampled_points if quick and scenario.sampled_points else scenario.points
    for number, point in enumerate(points):
        for how in ("kill",) if quick or scenario.slow else _HOWS[:2] if scenario.variant else _HOWS:
            # That a third run changes nothing is much the same after each of them.
            yield Point(point, how, by_module=not scenario.kind, thorough=not quick or number == 0)
    if scenario.slow:
        return
    if quick:
        for what in (whats[-1], chance.choice(whats)):
            yield Kill(what, chance.random(), rejoins=False, thorough=False)
        return
    yield from scenario.strikes(chance)
    moments = _moments(scenario)
    for what in whats:
        for number in range(moments):
            part, again = (number + chance.random()) / moments, what == "module" and number % 2 == 0
            yield Kill(what, part, rejoins=again, thorough=number % 3 == 0)
    if scenario.kind:
        yield from (Kill("all", (number + chance.random()) / 3) for number in range(3))
        yield from (Cancel(0, point=point) for point in scenario.points)
        yield from (Cancel(chance.random() / 2) for _number in range(2))
        yield from (Cancel(chance.random(), killed=True) for _number in range(2))
    if scenario.source and scenario.kind:
        for number in range(2 if scenario.variant else 6):
            yield LostSource((number // 2 + chance.random()) / 3, replaced=number % 2 == 1 and scenario.replaceable)
        yield from (BadSource(part) for part in (0.05, 0.25, 0.5, 0.75, 0.95))
    if scenario.kind and scenario.written.startswith(scenario.room.disk):
        yield from (BadImage(part=part) for part in ((0.5,) if scenario.variant else (0, 0.2, 0.5, 0.8)))
        yield from (BadImage(mebibytes=size) for size in ((1,) if scenario.variant else (0, 1, 3, 6)))


def _moments(scenario: Scenario) -> int:
    """At how many moments from outside each kind of process is killed."""
    return 3 if scenario.variant else 10


def play_all(scenario: Scenario, told: Any, arguments: argparse.Namespace) -> Iterator[rounds.Round]:
    """Every round of a scenario; one that can't even run undisturbed is a round that failed."""
    chance, quick, only = random.Random(f"{arguments.seed} {scenario.name}"), arguments.quick, arguments.only
    try:
        scenario.prepare()
        with disk_of(scenario):
            lengths = rounds.measured(scenario)
            count = 0 if quick or scenario.slow or not arguments.sessions else _moments(scenario)
            sessions = (Session((number + chance.random()) / count, told.put) for number in range(count))
            for strike in (*strikes_of(scenario, chance, quick=quick), *sessions):
                if re.search(only, str(strike)):
                    yield rounds.play(scenario, strike, lengths)
            if re.search(only, "at once") and not scenario.slow:
                yield rounds.together(scenario, 2 if quick else _AT_ONCE)
        if scenario.full_sizes and not quick and re.search(only, "MiB free"):
            with mounted("mkfs.ext4", "-q", "-m", "0", mebibytes=_SMALL_MEBIBYTES, at=scenario.room.disk):
                for size in scenario.full_sizes:
                    yield rounds.play(scenario, FullDisk(size), lengths)
    except rounds.FAILURES as error:
        yield rounds.Round(scenario.name, "none", problem=f"{error}"[:1500])
    finally:
        scenario.end()


@contextlib.contextmanager
def disk_of(scenario: Scenario) -> Iterator[None]:
    """The file system that the scenario wants, where it wants another one than the lane has."""
    make: tuple[str, ...] = getattr(scenario, "file_system", ())
    if not make:
        yield
        return
    with mounted(*make, mebibytes=getattr(scenario, "mebibytes", _SMALL_MEBIBYTES), at=scenario.room.disk):
        yield


@contextlib.contextmanager
def mounted(*make: str, mebibytes: int, at: str) -> Iterator[None]:
    """A new file system in memory, mounted for the time of the block."""
    image = f"{_MEMORY}-{at.strip('/').replace('/', '-')}.img"
    with open(image, "wb") as stream:
        stream.truncate(mebibytes << 20)
    try:
        run(*make, image)
        os.makedirs(at, exist_ok=True)
        run("mount", "-o", "loop", image, at)
        yield
    finally:
        unmount(at)
        os.unlink(image)


def can_be_played(scenario: type[Scenario], *, quick: bool) -> bool:
    return not (quick and (scenario.slow or not scenario.sampled)) and all(
        shutil.which(program) for program in scenario.needs
    )


def sweep() -> None:
    """Remove what is left of drivers that were killed, and of this one."""
    for name in os.listdir(_TOP) if os.path.isdir(_TOP) else ():
        driver = name.partition("-")[0]
        if driver == str(os.getpid()) or not os.path.exists(f"/proc/{driver}"):
            top = f"{_TOP}/{name}"
            unmount(top)
            shutil.rmtree(top, ignore_errors=True)
            for image in glob.glob(f"{_MEMORY}-{top.strip('/').replace('/', '-')}*"):
                os.unlink(image)


def unmount(top: str) -> None:
    """Unmount `top` and all below it, and end what a round started in it, if that was cut short."""
    kill([int(one.split()[0]) for one in using(f"{top}/")])
    for point in [*reversed(mounts_below(top)), top]:
        run("umount", point, check=False)


def lane(number: int, names: Any, told: Any, arguments: argparse.Namespace) -> None:
    """A process that plays scenarios until none is left."""
    top = f"{_TOP}/{os.getppid()}-{number}"
    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.SIG_DFL)
    try:
        with mounted("mkfs.ext4", "-q", "-m", "0", mebibytes=_LANE_MEBIBYTES, at=top):
            while (name := names.get()) is not None:
                chosen = next(each for each in SCENARIOS if each.name == name)
                room = Room(f"{top}/{re.sub('[^a-z0-9]+', '-', name.lower())}", arguments.payloads)
                room.make()
                room.patience *= 10 if chosen.slow else 1
                for outcome in play_all(chosen(room), told, arguments):
                    told.put(outcome.as_dict())
                shutil.rmtree(room.folder, ignore_errors=True)
    except BaseException:
        told.put(rounds.Round("driver", "none", problem=traceback.format_exc()).as_dict())
        raise
    finally:
        with contextlib.suppress(OSError):
            os.rmdir(top)
        told.put(None)


def play(names: list[str], arguments: argparse.Namespace) -> None:
    """Play in lanes, and print what comes."""
    waiting: Any = multiprocessing.Queue()
    told: Any = multiprocessing.Queue()
    for name in [*names, *[None] * arguments.lanes]:
        waiting.put(name)
    lanes = [
        multiprocessing.Process(target=lane, args=(number, waiting, told, arguments))
        for number in range(arguments.lanes)
    ]
    for each in lanes:
        each.start()
    ended = 0
    try:
        while ended < len(lanes):
            found = told.get()
            ended += found is None
            if found is not None:
                print(json.dumps(found), flush=True)
        for each in lanes:
            each.join()
    finally:
        for each in lanes:
            each.kill()
            each.join()
        sweep()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", help="first words of scenarios' names; all when left out")
    parser.add_argument("--payloads", required=True, help="folder with a payload per module")
    parser.add_argument("--quick", action="store_true", help="every named point once, two moments from outside")
    parser.add_argument("--only", default="", help="a pattern: only interruptions whose words it is found in")
    parser.add_argument("--seed", default=str(time.time_ns()))
    parser.add_argument("--sessions", action="store_true", help="kill SSH sessions too, which the caller opens")
    parser.add_argument("--lanes", type=int, default=(os.cpu_count() or 1) + 1)
    parser.add_argument("--points", action="store_true", help="print the named points that scenarios meet, and end")
    arguments = parser.parse_args()
    chosen = [one for one in SCENARIOS if not arguments.groups or one.name.startswith(tuple(arguments.groups))]
    if arguments.points:
        print(json.dumps(sorted({point for one in chosen for point in one.points})))
        return 0
    # The longest begin first.
    chosen = sorted((one for one in chosen if can_be_played(one, quick=arguments.quick)), key=lambda one: not one.slow)
    sweep()
    # Whoever started the driver may go away: then everything is ended and unmounted all the same.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda _number, _frame: sys.exit(1))
    play([one.name for one in chosen], arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
