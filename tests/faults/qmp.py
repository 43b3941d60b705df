# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of snapshots and clones of a QEMU process: the guest runs on, and the next run leaves one whole chain or copy."""

from __future__ import annotations

import json
from typing import Any, Callable

from host import Host, expect

NAME = "imageops-qmp"
FOLDER = f"/var/tmp/{NAME}"
DISKS = ("a", "b")
OPTIONS: dict[str, Any] = {"hypervisor": "qmp", "socket": f"{FOLDER}/s", "name": "one", "kind": "external"}
SNAPSHOT_POINTS = ("qmp_snapshot:half-made", "qmp_snapshot:before-switch", "qmp_snapshot:merged")
CLONE: dict[str, Any] = {"hypervisor": "qmp", "socket": f"{FOLDER}/s", "name": "copy"}
# Of the job that reads a process' disks.
CLONE_POINTS = (
    "pull:before-begin",
    "qmp_pull:half-begun",
    "pull:begun",
    "clone:while-reading",
    "pull:read",
    "clone:backup-ended",
    "clone:before-publish",
    "clone:published",
)
POINTS = SNAPSHOT_POINTS + CLONE_POINTS
_RUN = "/var/lib/imageops/run"
# What the process itself has of a backup: names of ours among jobs, exports and nodes.
_ASK = f"""
import json, socket
talk = socket.socket(socket.AF_UNIX)
talk.connect("{FOLDER}/s")
lines = talk.makefile("rw")
lines.readline()
for command in ("qmp_capabilities", "query-block-jobs", "query-block-exports", "query-named-block-nodes"):
    lines.write(json.dumps({{"execute": command}}))
    lines.flush()
    found = json.loads(lines.readline())["return"]
    print(command, [one.get("node-name") or one for one in found if command != "query-named-block-nodes" or "imageops-pull" in str(one)])
"""
_NOTHING = [
    f"{command} []"
    for command in ("qmp_capabilities", "query-block-jobs", "query-block-exports", "query-named-block-nodes")
]


def prepare(host: Host) -> None:
    """A machine without an operating system: the firmware finds nothing to boot and waits."""
    tidy(host)
    drives = " ".join(f"-drive file={FOLDER}/{disk}.qcow2,format=qcow2,if=virtio" for disk in DISKS)
    host.shell(f"""
    mkdir -m 700 {FOLDER}
    for disk in {" ".join(DISKS)}; do
        head -c 12M /dev/urandom > {FOLDER}/raw
        truncate -s 16M {FOLDER}/raw
        qemu-img convert -f raw -O qcow2 {FOLDER}/raw {FOLDER}/$disk.qcow2
        rm {FOLDER}/raw
    done
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


def holds(host: Host, disk: str) -> str:
    """Digest of what a disk holds, also while it is in use."""
    return host.shell(f"""
    qemu-img convert -U -f qcow2 -O raw {FOLDER}/{disk}.qcow2 {FOLDER}/seen
    sha256sum <{FOLDER}/seen
    rm {FOLDER}/seen
    """)


def cloned(host: Host) -> None:
    """The next run makes the copies, a further one changes nothing, and nothing is left in the process or on disk."""
    after = host.run("vm_clone", **CLONE)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    again = host.run("vm_clone", **CLONE)
    expect(again.get("changed") is False, f"a further run changed something: {again}")
    asked = host.shell(f"python3 - <<'END'\n{_ASK}\nEND").splitlines()
    expect(asked == _NOTHING, f"left in the process: {asked}")
    for disk, copy in zip(DISKS, after["clones"][0]["disks"]):
        host.shell(f"qemu-img check -q -f qcow2 {copy['path']}")
        name = copy["path"].rpartition("/")[2].partition(".")[0]
        expect(holds(host, name) == holds(host, disk), f"{name} does not hold what {disk} does")
    files = host.shell(f"ls -A {FOLDER}").split()
    expect(len(files) == 1 + 2 * len(DISKS), f"files that are there: {json.dumps(files)}")
    scratch = host.shell(f"ls -A {_RUN} | grep qmp- || true").split()
    expect(scratch == [], f"scratch files were left: {scratch}")
    expect(layers(host) == [1] * len(DISKS), "the disks have other layers")
    host.shell(f"rm {FOLDER}/copy-*")


def clone_killed_at(point: str) -> Callable[[Host], None]:
    """SIGKILL of the job at a named moment of reading or publishing."""

    def case(host: Host) -> None:
        converges(host, "absent", deep=1)
        said = host.run("vm_clone", **CLONE, fault=f"{point}:kill")
        expect(bool(said.get("lost") or said.get("failed")), f"the job was not killed: {said}")
        cloned(host)

    return case


CASES: dict[str, Callable[[Host], None]] = {
    "SIGKILL with an overlay half made": killed_at(SNAPSHOT_POINTS[0], state="present", deep=2),
    "SIGKILL before all disks go over": killed_at(SNAPSHOT_POINTS[1], state="present", deep=2),
    "SIGKILL after a merge": killed_at(SNAPSHOT_POINTS[2], state="absent", deep=1),
    **{f"SIGKILL of a clone at {point}": clone_killed_at(point) for point in CLONE_POINTS},
}
