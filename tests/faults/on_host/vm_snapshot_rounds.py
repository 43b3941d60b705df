# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of external snapshots on a fleet host: killed at every named point, alone and with libvirtd; told as lines of JSON.

A VM without an operating system has a qcow2 and a raw disk. Each state of its disks is one byte, so what a snapshot or the
VM reads is told by that byte. A running VM writes after the kill, and when all is done, to the 64 KiB beside it, through QEMU: there
the next start finds what was written last, and no snapshot does. vm_snapshot_rounds.py PAYLOADS [--daemon] [--only PATTERN]
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from own_libvirtd import LIBVIRTD, go_apart
from processes import run, wait_until
from room import Room

VM = "imageops-rounds-vm"
FOLDER = f"/var/lib/libvirt/images/{VM}"
_XML = f"""<domain type='qemu'><name>{VM}</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os><devices>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='{FOLDER}/a.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file'><driver name='qemu' type='raw'/><source file='{FOLDER}/b.raw'/><target dev='vdb' bus='virtio'/></disk>
</devices></domain>"""
_TAKE = ("before-overlays", "before-take", "taken")
_FORGET = ("before-forget", "forgotten")
_MERGE = ("before-merge", "merged", "before-remove-merged")
_REVERT = ("before-overlays", "before-stop", "stopped", "before-define", "defined", "started", "before-tidy")
# s1 has the branches s2 and s3; s2 has s4 and what the VM goes on with.
_TREE = {"s1": 1, "s2": 2, "s3": 4, "s4": 6}
_NOW = 8
# What the guest writes after the kill, when all is done, and after one more snapshot.
_SOON, _LAST, _NEXT = 9, 10, 11
_PIECE = 65536


@dataclass
class Scenario:
    """One act: its options and points; `after` are the snapshots and `now` the VM's byte when it is done."""

    name: str
    options: dict[str, Any]
    points: tuple[str, ...]
    after: dict[str, int]
    now: int = _NOW
    running: bool = False
    settles: bool = True
    first: list[dict[str, Any]] = field(default_factory=list)
    # What the next run is asked for, where that is something else.
    then: dict[str, Any] | None = None
    # Interruptions of its own, beside those of a kill.
    harms: tuple[str, ...] = ()


_MEMORY = {"name": "m", "memory": True}
_WITHOUT = {name: byte for name, byte in _TREE.items() if name not in ("s1", "s3")}
SCENARIOS = (
    Scenario("take, stopped", {"name": "n"}, _TAKE, {**_TREE, "n": _NOW}),
    Scenario("take, running", {"name": "n", "memory": False}, _TAKE, {**_TREE, "n": _NOW}, running=True),
    Scenario("take with memory", {"name": "n"}, _TAKE, {**_TREE, "n": _NOW}, running=True),
    Scenario(
        "delete live, two branches go on",
        {"state": "absent", "snapshots": [{"name": "s3"}, {"name": "s1"}]},
        (*_FORGET, *_MERGE, "before-remove", "merge-begun", "before-rebase", "before-rename", "put-right"),
        _WITHOUT,
        running=True,
    ),
    Scenario(
        "delete, stopped",
        {"state": "absent", "snapshots": [{"name": "s3"}, {"name": "s1"}]},
        (*_FORGET, *_MERGE, "before-remove", "before-rebase", "before-rename"),
        _WITHOUT,
    ),
    Scenario(
        "delete the last live",
        {"state": "absent", "name": "s1", "remove_children": True},
        (*_FORGET, *_MERGE, "before-remove", "merge-begun", "before-change-over"),
        {},
        running=True,
    ),
    Scenario(
        "delete one with memory",
        {"state": "absent", "name": "m"},
        (*_FORGET, *_MERGE, "merge-begun", "before-change-over", "before-remove-beside"),
        _TREE,
        running=True,
        first=[_MEMORY],
    ),
    Scenario("revert, stopped", {"state": "reverted", "name": "s3"}, tuple(f"revert-{p}" for p in _REVERT), _TREE, 4),
    Scenario(
        "revert with memory",
        {"state": "reverted", "name": "m"},
        tuple(f"revert-{p}" for p in _REVERT),
        {**_TREE, "m": _NOW},
        running=True,
        settles=False,
        first=[_MEMORY],
    ),
)


class Failed(Exception):
    """What did not hold."""


class Lost(Failed):
    """Something reads what it should not."""


class Host:
    """The VM and the module on this host."""

    kind = "external"
    # Whether a running guest writes.
    writes = True
    tree = _TREE
    current = "s2"

    def __init__(self, payloads: str) -> None:
        self.room = Room(f"/var/tmp/{VM}", payloads)
        self.room.make()
        self.held: set[str] = set()

    def call(self, options: dict[str, Any], *, fault: str = "") -> dict[str, Any]:
        return self.answer(self.start(options, fault=fault))

    def answer(self, process: subprocess.Popen[str]) -> dict[str, Any]:
        said = self.room.answer(process)
        if said.get("traceback"):
            raise Failed(f"a traceback reached the user: {said['traceback']}")
        return said

    def start(self, options: dict[str, Any], *, fault: str = "") -> subprocess.Popen[str]:
        return self.room.start("vm_snapshot", {"vm": VM, "kind": self.kind, **options}, fault=fault)

    def harm(self, how: str, scenario: Scenario) -> None:
        """What else happens after the module was killed; `how` is empty or says so."""
        if how:
            LIBVIRTD.kill()

    def wait(self, moment: str) -> None:
        """Until libvirtd is to be killed."""
        time.sleep(float(moment))

    def must(self, options: dict[str, Any]) -> dict[str, Any]:
        said = self.call(options)
        if said.get("failed") or said.get("lost"):
            raise Failed(f"{options}: {said.get('msg')} {said.get('cmd', '')} {said.get('stderr', '')}")
        return said

    def write(self, byte: int) -> None:
        for path, format in active().values():
            run("qemu-io", "-f", format, "-c", f"write -P {byte} 0 64k", path)

    def fresh(self, scenario: Scenario) -> None:
        """The tree, and what the VM goes on with: made once by the module, brought back for each round."""
        self.clear()
        if os.path.isdir(f"{self.room.master}/disks"):
            self.bring_back()
        else:
            self.make_tree()
            self.keep()
        if scenario.running:
            run("virsh", "-q", "start", VM)
        for options in scenario.first:
            self.must(options)

    def keep(self) -> None:
        """Keep files, journal and descriptions."""
        master = self.room.master
        shutil.copytree(FOLDER, f"{master}/disks")
        shutil.copytree(f"{self.room.state}/snapshots", f"{master}/snapshots")
        for name in (*self.tree, ""):
            told = ("snapshot-dumpxml", VM, name) if name else ("dumpxml", VM)
            with open(f"{master}/{name or VM}.xml", "w", encoding="utf-8") as stream:
                stream.write(run("virsh", *told).stdout)

    def bring_back(self) -> None:
        master = self.room.master
        shutil.copytree(f"{master}/disks", FOLDER)
        os.chmod(FOLDER, 0o711)
        shutil.copytree(f"{master}/snapshots", f"{self.room.state}/snapshots")
        run("virsh", "-q", "define", f"{master}/{VM}.xml")
        for name in self.tree:
            current = ["--current"] if name == self.current else []
            run("virsh", "-q", "snapshot-create", VM, f"{master}/{name}.xml", "--redefine", *current)

    def make_tree(self) -> None:
        os.makedirs(FOLDER, exist_ok=True)
        os.chmod(FOLDER, 0o711)
        run("qemu-img", "create", "-q", "-f", "qcow2", f"{FOLDER}/a.qcow2", "1M")
        run("qemu-img", "create", "-q", "-f", "raw", f"{FOLDER}/b.raw", "1M")
        with open(f"{FOLDER}/../{VM}.xml", "w", encoding="utf-8") as stream:
            stream.write(_XML)
        run("virsh", "-q", "define", stream.name)
        os.unlink(stream.name)
        back = {"state": "reverted"}
        steps: tuple[int | dict[str, Any], ...] = (
            1, {"name": "s1"}, 2, {"name": "s2"}, 3, {"name": "s1", **back}, 4, {"name": "s3"}, 5, {"name": "s2", **back},
            6, {"name": "s4"}, 7, {"name": "s2", **back}, _NOW,
        )  # fmt: skip
        for step in steps:
            self.write(step) if isinstance(step, int) else self.must(step)

    def clear(self) -> None:
        run("virsh", "-q", "destroy", VM, check=False)
        run("virsh", "-q", "undefine", VM, "--snapshots-metadata", check=False)
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.rmtree(f"{self.room.state}/snapshots", ignore_errors=True)

    def guest_writes(self, scenario: Scenario, byte: int) -> None:
        """The running guest writes, whatever libvirt believes of its disks; right after the kill it may be stopped."""
        if self.writes and scenario.running:
            for number in range(2):
                command = f'qemu-io -d /machine/peripheral/virtio-disk{number}/virtio-backend "write -P {byte} 64k 64k"'
                run("virsh", "qemu-monitor-command", VM, "--hmp", command, check=byte != _SOON)

    def check(self, scenario: Scenario) -> None:
        """What must hold when all is done."""
        found = layers()
        if set(found) != set(scenario.after):
            raise Failed(f"the snapshots are {sorted(found)} and should be {sorted(scenario.after)}")
        self.snapshots_read(found, scenario)
        self.contents({"the VM": (next_start(), scenario.now)}, written=(0, _SOON, _LAST))
        state = run("virsh", "domstate", VM).stdout.strip()
        if state != ("running" if scenario.running else "shut off"):
            raise Failed(f"the VM is {state}")
        needed = {
            path
            for disks in (*found.values(), next_start())
            for path, format in disks.values()
            for path in chain(path, format)
        }
        there = {
            f"{FOLDER}/{name}" for name in os.listdir(FOLDER) if not re.search(r"\.(m|n)(-\d+)?\.(memory|nvram)$", name)
        }
        # A libvirt that was killed leaves QEMU with layers that it knows nothing of.
        self.held = (there - needed) & opened()
        if there - self.held != needed:
            raise Failed(
                f"files that nothing needs: {sorted(there - self.held - needed)}; missing: {sorted(needed - there)}"
            )

    def check_next(self, scenario: Scenario) -> None:
        """Another live snapshot is right, or refused in words; and the VM's next start finds what the guest wrote last."""
        if not (self.writes and scenario.running):
            return
        said = self.call({"name": "next", "memory": False})
        if said.get("failed") and "until the VM stops" not in said["msg"]:
            raise Failed(f"the next snapshot: {said['msg']}")
        self.guest_writes(scenario, _NEXT)
        run("virsh", "-q", "destroy", VM)
        self.contents({"the VM's next start": (next_start(), scenario.now)}, written=(_NEXT,))
        self.snapshots_read(layers(), scenario)
        self.must({"name": "next", "state": "absent"})
        self.contents({"the VM at the end": (next_start(), scenario.now)}, written=(_NEXT,))

    def snapshots_read(self, found: dict[str, dict[str, tuple[str, str]]], scenario: Scenario) -> None:
        """Each snapshot reads what was there when it was taken."""
        then = {"n": (0, _SOON), "next": (_LAST,)}
        for name, disks in found.items():
            self.contents({name: (disks, scenario.after.get(name, scenario.now))}, written=then.get(name, (0,)))

    def find_again(self, scenario: Scenario, wanted: dict[str, Any]) -> Scenario:
        """libvirt 9.0 can forget a running VM that it was ending a commit of: the task tells of its process, which is ended here."""
        process = process_of_vm()
        if not process or run("virsh", "domstate", VM).stdout.strip() != "shut off":
            return scenario
        said = self.call(wanted)
        if not said.get("failed"):
            # It was in the middle of a stop or a start; what holds for the VM is checked as ever, and no other QEMU may have its disks.
            if os.path.exists(f"/proc/{process}") and process_of_vm() != process:
                raise Failed(f"libvirt lost the process {process} of the VM, and the module did not say so: {said}")
            return scenario
        if f"process {process} (" not in said["msg"]:
            raise Failed(f"libvirt lost the VM: {said}")
        os.kill(process, signal.SIGKILL)
        wait_until(lambda: not process_of_vm(), 30)
        return replace(scenario, running=False)

    def check_held(self) -> None:
        """What QEMU had open goes with the first act after the VM's stop."""
        if self.held:
            run("virsh", "-q", "destroy", VM, check=False)
            self.must({"name": "afterwards", "memory": False})
            self.must({"name": "afterwards", "state": "absent"})
            left = [path for path in self.held if os.path.exists(path)]
            if left:
                raise Failed(f"files that nothing needs after the VM stopped: {sorted(left)}")

    def contents(
        self, wanted: dict[str, tuple[dict[str, tuple[str, str]], int]], *, written: Sequence[int] | None = None
    ) -> None:
        """Each chain reads its byte, and beside it one of those that a guest may have `written`."""
        for name, (disks, byte) in wanted.items():
            for target, (path, format) in disks.items():
                run("qemu-img", "convert", "-U", "-f", format, "-O", "raw", path, f"{self.room.temp}/seen.raw")
                with open(f"{self.room.temp}/seen.raw", "rb") as stream:
                    seen, beside = set(stream.read(_PIECE)), set(stream.read(_PIECE))
                if seen != {byte}:
                    raise Lost(f"{name}: {target} ({path}) reads {sorted(seen)} and should read {byte}")
                if written is not None and not (len(beside) == 1 and beside <= set(written)):
                    raise Lost(f"{name}: {target} ({path}) reads {sorted(beside)} where it may read {written}")


def disks_of(root: ET.Element) -> dict[str, tuple[str, str]]:
    found = {}
    for disk in root.findall("devices/disk"):
        source, target, driver = disk.find("source"), disk.find("target"), disk.find("driver")
        if source is not None and target is not None and driver is not None:
            found[target.get("dev", "")] = (source.get("file", ""), driver.get("type", ""))
    return found


def active() -> dict[str, tuple[str, str]]:
    return disks_of(ET.fromstring(run("virsh", "dumpxml", VM).stdout))


def next_start() -> dict[str, tuple[str, str]]:
    """What the VM will have, or has, when it starts anew."""
    return disks_of(ET.fromstring(run("virsh", "dumpxml", "--inactive", VM).stdout))


def process_of_vm() -> int:
    """The VM's QEMU, 0 when there is none."""
    try:
        with open(f"/run/libvirt/qemu/{VM}.pid", encoding="utf-8") as stream:
            process = int(stream.read())
        with open(f"/proc/{process}/cmdline", encoding="utf-8") as stream:
            return process if f"guest={VM}," in stream.read() else 0
    except FileNotFoundError:
        return 0


def opened() -> set[str]:
    """What the VM's QEMU has open."""
    process = process_of_vm()
    handles = f"/proc/{process}/fd"
    return {os.path.realpath(f"{handles}/{handle}") for handle in os.listdir(handles)} if process else set()


def layers() -> dict[str, dict[str, tuple[str, str]]]:
    """The files of each snapshot."""
    found = {}
    for name in run("virsh", "snapshot-list", "--name", VM).stdout.split():
        domain = ET.fromstring(run("virsh", "snapshot-dumpxml", VM, name).stdout).find("domain")
        found[name] = disks_of(domain) if domain is not None else {}
    return found


def chain(path: str, format: str) -> list[str]:
    told = run("qemu-img", "info", "-U", "--backing-chain", "--output=json", "-f", format, path).stdout
    return [link["filename"] for link in json.loads(told)]


def play(host: Host, scenario: Scenario, strike: str) -> str:
    """One round; what did not hold."""
    try:
        host.fresh(scenario)
        point, _blank, daemon = strike.partition(" ")
        if point == "daemon":
            process = host.start(scenario.options)
            host.wait(daemon)
            LIBVIRTD.kill()
            host.room.answer(process)
        else:
            said = host.call(scenario.options, fault=f"vm_snapshot:{point}:kill")
            if not said.get("lost"):
                return "missed" if point == "put-right" else f"the point was not met: {said.get('msg', '')}"
            host.harm(daemon, scenario)
        converge(host, scenario)
    except (Failed, RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error)[:1500]
    return ""


def converge(host: Host, scenario: Scenario) -> None:
    """The next run makes everything right, and the one after it changes nothing."""
    wanted = scenario.options if scenario.then is None else scenario.then
    host.guest_writes(scenario, _SOON)
    scenario = host.find_again(scenario, wanted)
    host.must(wanted)
    host.check(scenario)
    if scenario.settles and host.must(wanted)["changed"]:
        raise Failed("a further run changed something")
    host.guest_writes(scenario, _LAST)
    host.check(scenario)
    host.check_next(scenario)
    host.check_held()


def points_of(scenarios: Sequence[Scenario]) -> list[str]:
    """The named points that the rounds meet."""
    return sorted({f"vm_snapshot:{point}" for scenario in scenarios for point in scenario.points})


def strikes(scenario: Scenario, *, daemon: bool) -> list[str]:
    if not daemon:
        return list(scenario.points)
    return [
        *(f"{point} libvirtd" for point in scenario.points),
        *scenario.harms,
        *(f"daemon {moment}" for moment in (0.3, 0.5, 0.7, 0.9, 1.0, 1.1, 1.3) if scenario.points),
    ]


def main(kind: type[Host], scenarios: Sequence[Scenario]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("payloads")
    parser.add_argument("--daemon", action="store_true")
    parser.add_argument("--apart", action="store_true", help="the folders of libvirt are others already")
    parser.add_argument("--only", default="")
    parser.add_argument("--points", action="store_true", help="only tell the named points")
    wanted = parser.parse_args()
    if wanted.points:
        print(json.dumps(points_of(scenarios)))
        return 0
    if wanted.daemon:
        go_apart()
        LIBVIRTD.start()
    host = kind(wanted.payloads)
    try:
        for scenario in scenarios:
            for strike in strikes(scenario, daemon=wanted.daemon):
                if re.search(wanted.only, f"{scenario.name}: {strike}"):
                    problem = play(host, scenario, strike)
                    told = {
                        "scenario": scenario.name,
                        "strike": strike,
                        "problem": problem if problem != "missed" else "",
                    }
                    print(json.dumps({**told, "hit": problem != "missed"}), flush=True)
    finally:
        host.clear()
        shutil.rmtree(host.room.folder, ignore_errors=True)
        if wanted.daemon:
            LIBVIRTD.end(signal.SIGTERM)
    return 0


if __name__ == "__main__":
    sys.exit(main(Host, SCENARIOS))
