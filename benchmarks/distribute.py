# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image to many hosts, and its next version: Ansible's ways, BitTorrent, rsync, casync and ours, over links of one rate.

Wall to wall: each figure is one run of ansible-playbook, from start to end. All hosts are containers of the demo fleet's first image
beside the fleet; the controller is the source. `--image` takes a smaller disk, to see that all of it works.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TOP / "tests" / "fleet"))

import distribute_image
import fleet
from distribute_links import Links, Sent
from distribute_servers import Servers
from podman import Podman

BUILD = TOP / ".build"
FOLDER = BUILD / "benchmarks" / "distribute"
RESULTS = BUILD / "benchmarks" / "distribute.json"
# Table, way, file of tasks, version. The first way of a table is the one that others are compared with.
COLD, UPDATE, AGAIN = "cold", "new version", "unchanged"
WAYS = (
    (COLD, "copy", "copy", "v1"),
    (COLD, "get_url", "get_url", "v1"),
    (COLD, "synchronize", "synchronize", "v1"),
    (COLD, "BitTorrent", "aria2", "v1"),
    (COLD, "distribute", "ours", "v1"),
    (UPDATE, "copy", "copy", "v2"),
    (UPDATE, "rsync", "rsync", "v2"),
    (UPDATE, "casync", "casync", "v2"),
    (UPDATE, "distribute", "ours", "v2"),
    (UPDATE, "trusting", "ours_trusting", "v2"),
    (AGAIN, "ping", "ping", "v2"),
    (AGAIN, "image_pull", "pull_again", "v2"),
)


@dataclass(frozen=True)
class Row:
    """One way with one number of hosts."""

    table: str
    way: str
    hosts: int
    seconds: float
    sent: Sent
    ratio: float = 1.0
    bytes_ratio: float = 1.0


class Bench:
    """The fleet's extra hosts, their links, and what serves them."""

    def __init__(self, hosts: int, rate: str, *, reflink: bool) -> None:
        self.podman = Podman(fleet.BASE)
        fleet.more(self.podman, hosts)
        self.hosts = [recipe.host for recipe in fleet.more_hosts(hosts)]
        self.links = Links(self.podman, self.hosts)
        template = "{{(index .Subnets 0).Gateway}}"
        address = self.podman.call("network", "inspect", "fleet", "--format", template).strip()
        self.servers = Servers(FOLDER, address)
        self.rate, self.address, self.reflink = rate, address, reflink

    def play(self, tasks: str, number: int, version: str) -> None:
        """Run a file of tasks on the first hosts."""
        environment = {
            **os.environ,
            "ANSIBLE_COLLECTIONS_PATH": str(BUILD / "collections"),
            "ANSIBLE_PIPELINING": "True",
            "ANSIBLE_FORKS": "16",
            "ANSIBLE_DISPLAY_OK_HOSTS": "False",
            "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "False",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
        }
        told = {
            "bench_tasks": f"distribute_{tasks}.yml",
            "bench_version": version,
            "bench_folder": str(FOLDER),
            "bench_url": self.servers.url,
            "bench_address": self.address,
            "bench_reflink": self.reflink,
        }
        limit = ["--limit", ",".join([*self.hosts[:number], "localhost"])]
        playbook = [TOP / "benchmarks" / "distribute.yml", "-e", json.dumps(told), *limit]
        binary = BUILD / "venv-bench" / "bin" / "ansible-playbook"
        done = subprocess.run(
            [binary, "-i", fleet.MORE_INVENTORY, *playbook],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"distribute: {tasks} failed:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")

    def measure(self, table: str, way: str, tasks: str, version: str, number: int) -> Row:
        """One way: what it needs before, without limits and uncounted; then itself."""
        self.play(
            f"{tasks}_before" if (TOP / f"benchmarks/distribute_{tasks}_before.yml").exists() else "before",
            number,
            version,
        )
        self.links.limit(self.rate)
        try:
            counted, began = self.links.count(), time.monotonic()
            self.play(tasks, number, version)
            seconds, sent = time.monotonic() - began, self.links.since(counted)
        finally:
            self.links.free()
        row = Row(table, way, number, round(seconds, 2), sent)
        print(
            f"{table}, {way}, {number} hosts: {row.seconds} s, controller sent {sent.controller / 1e6:.0f} MB",
            flush=True,
        )
        return row


def compared(rows: list[Row]) -> list[Row]:
    """The rows with their ratios: how many times faster, and with how many times fewer bytes from the controller, than the first way."""
    first: dict[tuple[str, int], Row] = {}
    for row in rows:
        first.setdefault((row.table, row.hosts), row)
    told = []
    for row in rows:
        base = first[row.table, row.hosts]
        by_bytes = base.sent.controller / max(1, row.sent.controller)
        told.append(
            Row(
                row.table,
                row.way,
                row.hosts,
                row.seconds,
                row.sent,
                round(base.seconds / row.seconds, 2),
                round(by_bytes, 1),
            )
        )
    return told


def show(rows: list[Row]) -> None:
    heads = ("seconds", "times faster", "sent MB", "times fewer", "host in MB", "host out MB")
    print(f"\n{'table':<14}{'way':<14}{'hosts':>6}" + "".join(f"{head:>14}" for head in heads))
    for row in rows:
        megabytes = [f"{number / 1e6:>14.1f}" for number in (row.sent.controller, row.sent.host_in, row.sent.host_out)]
        cells = [f"{row.seconds:>14}", f"{row.ratio:>14}", megabytes[0], f"{row.bytes_ratio:>14}", *megabytes[1:]]
        print(f"{row.table:<14}{row.way:<14}{row.hosts:>6}" + "".join(cells))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", default="1,2,4,8", help="numbers of hosts, with commas")
    parser.add_argument("--image", type=Path, help="a raw disk to distribute instead of the Debian one")
    parser.add_argument("--rate", default="1gbit", help="of each link, as tc has it")
    parser.add_argument("--ways", default="", help="only these ways, with commas; the names in the table")
    parser.add_argument("--tables", default="", help="only these tables, with commas; their names")
    parser.add_argument("--reflink", action="store_true", help="hosts keep images on XFS, where files can share blocks")
    parser.add_argument("--keep", action="store_true", help="keep the hosts for the next run")
    wanted = parser.parse_args()
    numbers = sorted({int(number) for number in wanted.hosts.split(",")})
    names, tables = (set(filter(None, given.split(","))) for given in (wanted.ways, wanted.tables))
    ways = [way for way in WAYS if (not names or way[1] in names) and (not tables or way[0] in tables)]
    distribute_image.make(FOLDER, wanted.image)
    bench = Bench(max(numbers), wanted.rate, reflink=wanted.reflink)
    rows = []
    try:
        bench.servers.start()
        bench.play("setup", max(numbers), "v1")
        for number in numbers:
            rows += [bench.measure(*way, number) for way in ways]
    finally:
        bench.servers.stop()
        if not wanted.keep:
            fleet.more(bench.podman, 0)
    rows = compared(rows)
    RESULTS.write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    show(rows)
    print(f"\nwritten to {RESULTS.relative_to(TOP)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
