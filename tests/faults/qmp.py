# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of snapshots of a QEMU process: the guest runs on, and the next run leaves one whole chain."""

from __future__ import annotations

import json
from typing import Any, Callable

from host import Host, expect

NAME = "imageops-qmp"
FOLDER = f"/var/tmp/{NAME}"
DISKS = ("a", "b")
OPTIONS: dict[str, Any] = {"hypervisor": "qmp", "socket": f"{FOLDER}/s", "name": "one", "kind": "external"}
POINTS = ("qmp_snapshot:half-made", "qmp_snapshot:before-switch", "qmp_snapshot:merged")


def prepare(host: Host) -> None:
    """A machine without an operating system: the firmware finds nothing to boot and waits."""
    tidy(host)
    drives = " ".join(f"-drive file={FOLDER}/{disk}.qcow2,format=qcow2,if=virtio" for disk in DISKS)
    host.shell(f"""
    mkdir -m 700 {FOLDER}
    for disk in {" ".join(DISKS)}; do qemu-img create -q -f qcow2 {FOLDER}/$disk.qcow2 16M; done
    systemd-run --quiet --collect --unit={NAME} qemu-system-x86_64 -name {NAME} -machine q35,accel=tcg -m 32 -display none \\
        -qmp unix:{FOLDER}/s,server=on,wait=off {drives}
    until test -S {FOLDER}/s; do sleep 0.1; done
    """)


def tidy(host: Host) -> None:
    host.shell(f"systemctl stop {NAME} 2>/dev/null || true; rm -rf {FOLDER}")


def layers(host: Host) -> list[int]:
    """How many layers each disk has, by the process itself."""
    found = host.run("vm_info", hypervisor="qmp", socket=f"{FOLDER}/s")
    expect(not found.get("failed") and not found.get("lost"), f"the process can't be asked: {found}")
    expect(found["vms"][0]["state"] == "running", f"the guest doesn't run: {found}")
    return [len(disk["chain"]) for disk in found["vms"][0]["disks"]]


def converges(host: Host, state: str, *, deep: int) -> None:
    """The next run does what is asked, a further one changes nothing, and no file is left over."""
    after = host.run("vm_snapshot", **OPTIONS, state=state)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    again = host.run("vm_snapshot", **OPTIONS, state=state)
    expect(again.get("changed") is False, f"a further run changed something: {again}")
    expect(layers(host) == [deep] * len(DISKS), f"the disks have {layers(host)} layers instead of {deep}")
    files = host.shell(f"ls -A {FOLDER}").split()
    expect(len(files) == 1 + deep * len(DISKS), f"files that are there: {json.dumps(files)}")


def killed_at(point: str, *, state: str, deep: int) -> Callable[[Host], None]:
    """SIGKILL of the module at a named moment of taking or merging."""

    def case(host: Host) -> None:
        other = "absent" if state == "present" else "present"
        converges(host, other, deep=3 - deep)
        said = host.run("vm_snapshot", **OPTIONS, state=state, fault=f"{point}:kill")
        expect(bool(said.get("lost") or said.get("failed")), f"the module was not killed: {said}")
        converges(host, state, deep=deep)
        converges(host, "absent", deep=1)

    return case


CASES: dict[str, Callable[[Host], None]] = {
    "SIGKILL with an overlay half made": killed_at(POINTS[0], state="present", deep=2),
    "SIGKILL before all disks go over": killed_at(POINTS[1], state="present", deep=2),
    "SIGKILL after a merge": killed_at(POINTS[2], state="absent", deep=1),
}
