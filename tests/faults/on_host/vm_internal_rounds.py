# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds of internal snapshots on a fleet host: killed at every named point, alone and with libvirtd; told as lines of JSON.

libvirt changes disk after disk, and then its own files, so two moments of a dying libvirtd are made to order: its file of a
snapshot is as it was before ("lost"), only the first disk went back ("half"). vm_internal_rounds.py PAYLOADS [--daemon]
[--only PATTERN]
"""

from __future__ import annotations

import json
import os
import shutil
import sys

import vm_snapshot_rounds as rounds
from own_libvirtd import LIBVIRTD
from processes import run, wait_until
from vm_snapshot_rounds import FOLDER, VM, Failed, Scenario, active

_XML = f"""<domain type='qemu'><name>{VM}</name><memory unit='MiB'>32</memory><os><type arch='x86_64'>hvm</type></os><devices>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='{FOLDER}/a.qcow2'/><target dev='vda' bus='virtio'/></disk>
<disk type='file'><driver name='qemu' type='qcow2'/><source file='{FOLDER}/b.qcow2'/><target dev='vdb' bus='virtio'/></disk>
</devices></domain>"""
_DISKS = (f"{FOLDER}/a.qcow2", f"{FOLDER}/b.qcow2")
# What libvirt knows of the snapshots; a tmpfs of ours while its daemon is killed.
_KNOWN = f"/var/lib/libvirt/qemu/snapshot/{VM}"
_KEPT = f"/var/tmp/{VM}-known"
_TREE = {"s1": 1, "s2": 2, "s3": 4}
_NOW = 8
_POINTS = ("inside-begun", "inside-ended")
_LOST = ("inside-ended lost", "daemon write")
_LEFT = (*_LOST, "inside-ended leftover")
_MEMORY = {"name": "m"}
_BACK = {"state": "reverted", "name": "s2"}
SCENARIOS = (
    Scenario("take, stopped", {"name": "n"}, _POINTS, {**_TREE, "n": _NOW}, harms=_LEFT),
    Scenario("take with memory", {"name": "n"}, _POINTS, {**_TREE, "n": _NOW}, running=True, harms=_LEFT),
    Scenario("revert, stopped", _BACK, _POINTS, _TREE, 2, harms=("inside-begun half", "daemon write")),
    Scenario(
        "revert of the first disk alone, then another task",
        _BACK,
        (),
        {**_TREE, "n": 2},
        2,
        harms=("inside-begun half",),
        then={"name": "n"},
    ),
    Scenario(
        "revert with memory",
        {"state": "reverted", **_MEMORY},
        _POINTS,
        {**_TREE, "m": _NOW},
        running=True,
        settles=False,
        first=[_MEMORY],
        harms=("daemon write",),
    ),
    Scenario(
        "delete, stopped",
        {"state": "absent", "name": "s1"},
        _POINTS,
        {name: byte for name, byte in _TREE.items() if name != "s1"},
        harms=_LOST,
    ),
    Scenario(
        "delete live",
        {"state": "absent", "name": "s1"},
        _POINTS,
        {name: byte for name, byte in _TREE.items() if name != "s1"},
        running=True,
        harms=_LOST,
    ),
    Scenario(
        "delete with what is below",
        {"state": "absent", "name": "s2", "remove_children": True},
        _POINTS,
        {"s1": 1},
        harms=_LOST,
    ),
)
# Met by the harm "leftover" alone, which kills a second run there.
_SECOND = "inside-leftover-known"


class Host(rounds.Host):
    """The VM has two qcow2 disks."""

    kind = "internal"
    writes = False
    tree = _TREE
    current = "s3"

    def make_tree(self) -> None:
        os.makedirs(FOLDER, exist_ok=True)
        os.chmod(FOLDER, 0o711)
        for path in _DISKS:
            run("qemu-img", "create", "-q", "-f", "qcow2", path, "1M")
        with open(f"{self.room.temp}/{VM}.xml", "w", encoding="utf-8") as stream:
            stream.write(_XML)
        run("virsh", "-q", "define", stream.name)
        os.unlink(stream.name)
        for name, byte in _TREE.items():
            self.write(byte)
            self.must({"name": name})
        self.write(_NOW)

    def fresh(self, scenario: Scenario) -> None:
        super().fresh(scenario)
        shutil.copytree(_KNOWN, _KEPT)

    def clear(self) -> None:
        super().clear()
        shutil.rmtree(_KEPT, ignore_errors=True)

    def harm(self, how: str, scenario: Scenario) -> None:
        if how in ("lost", "leftover"):
            LIBVIRTD.kill(before=_lose)
        elif how == "half":
            run("qemu-img", "snapshot", "-a", scenario.options["name"], _DISKS[0])
            LIBVIRTD.kill()
        else:
            super().harm(how, scenario)
        if how == "leftover":
            said = self.call(scenario.options, fault=f"vm_snapshot:{_SECOND}:kill")
            if not said.get("lost"):
                raise Failed(f"{_SECOND} was not met: {said.get('msg', '')}")

    def wait(self, moment: str) -> None:
        if moment != "write":
            super().wait(moment)
            return
        before = _written()
        if not wait_until(lambda: _written() != before, 120, pause=0.0005):
            raise Failed("no disk was written to")

    def check(self, scenario: Scenario) -> None:
        known = set(run("virsh", "snapshot-list", "--name", VM).stdout.split())
        for path in _DISKS:
            held = {one["name"] for one in _info(path).get("snapshots", [])}
            if not known == held == set(scenario.after):
                raise Failed(
                    f"libvirt knows {sorted(known)}, {path} holds {sorted(held)}, not {sorted(scenario.after)}"
                )
            for name, byte in scenario.after.items():
                self.reads(path, byte, "-l", f"snapshot.name={name}")
        self.contents({"the VM": (active(), scenario.now)})
        state = run("virsh", "domstate", VM).stdout.strip()
        if state != ("running" if scenario.running else "shut off"):
            raise Failed(f"the VM is {state}")
        if not scenario.running:
            for path in _DISKS:
                run("qemu-img", "check", "-q", "-f", "qcow2", path)
        if os.path.exists(f"{self.room.state}/snapshots") and any(
            name.endswith("-layers.json") for name in os.listdir(f"{self.room.state}/snapshots")
        ):
            raise Failed("the journal was left")

    def reads(self, path: str, byte: int, *options: str) -> None:
        """Each snapshot reads its byte."""
        run("qemu-img", "convert", "-U", "-f", "qcow2", *options, "-O", "raw", path, f"{self.room.temp}/seen.raw")
        with open(f"{self.room.temp}/seen.raw", "rb") as stream:
            seen = set(stream.read(65536))
        if seen != {byte}:
            raise Failed(f"{path} {' '.join(options)} reads {sorted(seen)} and should read {byte}")


def _written() -> list[int]:
    return [os.stat(path).st_mtime_ns for path in _DISKS]


def _info(path: str) -> dict[str, list[dict[str, str]]]:
    found: dict[str, list[dict[str, str]]] = json.loads(
        run("qemu-img", "info", "-U", "--output=json", "-f", "qcow2", path).stdout
    )
    return found


def _lose() -> None:
    """Bring back the files of libvirt that were there before."""
    shutil.rmtree(_KNOWN, ignore_errors=True)
    shutil.copytree(_KEPT, _KNOWN)


if __name__ == "__main__":
    if "--points" in sys.argv:
        print(json.dumps([*rounds.points_of(SCENARIOS), f"vm_snapshot:{_SECOND}"]))
        sys.exit(0)
    sys.exit(rounds.main(Host, SCENARIOS))
