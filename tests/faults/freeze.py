# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions while a guest is frozen: it thaws within its time limit, whoever was killed, and the next run works."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any, Callable

from host import BUILD, Host, expect, kill_libvirtd, wait_for

NAME = "imageops-freeze"
FOLDER = f"/var/lib/libvirt/images/{NAME}"
GUEST = BUILD / "fleet" / "guest" / "imageops-debian.qcow2"
CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
LIMIT = 10
# Named points of the code that the cases below meet.
POINTS = (
    "thaw:all-guarded",
    "thaw:all-frozen",
    "thaw:armed",
    "thaw:before-release",
    "thaw:guarded",
    "thaw:frozen",
)
# What thawing takes on a host that is busy.
_GRACE = 10.0


def prepare(host: Host) -> None:
    """A Debian guest whose agent answers."""
    tidy(host)
    host.shell(f"mkdir -m 711 {FOLDER}")
    with GUEST.open("rb") as image:
        subprocess.run([*host.ssh, f"cat > {FOLDER}/debian.qcow2"], stdin=image, check=True)
    made = host.run(
        "vm",
        name=NAME,
        memory="384MiB",
        disks=[{"image": f"{FOLDER}/debian.qcow2", "path": f"{FOLDER}/guest.qcow2"}],
        xml=f"<domain><devices>{CHANNEL}</devices></domain>",
        wait_for={"agent": True, "timeout": 280},
    )
    expect(not made.get("failed") and not made.get("lost"), f"the guest did not come up: {made}")


def tidy(host: Host) -> None:
    host.shell(f"""
    virsh -q destroy {NAME} >/dev/null 2>&1 || true
    virsh -q undefine {NAME} --snapshots-metadata >/dev/null 2>&1 || true
    rm -rf {FOLDER}
    """)


def status(host: Host) -> str:
    """What the guest's agent says, asked from outside; an empty string while it can't be asked."""
    asked = '{"execute":"guest-fsfreeze-status"}'
    said = host.shell(f"virsh qemu-agent-command {NAME} '{asked}' 2>/dev/null || true").strip()
    return str(json.loads(said)["return"]) if said else ""


def thaws(host: Host, *, seconds: float) -> None:
    """The guest thaws in that time, and can be frozen and thawed again."""
    wait_for(lambda: status(host) == "thawed", "thawing", seconds=seconds)
    wait_for(lambda: not guards(host), "the end of the guard", seconds=seconds)
    for state in ("frozen", "thawed"):
        said = host.run("vm_freeze", name=NAME, state=state, limit=120)
        expect(said.get("changed") is True and not said.get("failed"), f"not {state} afterwards: {said}")


def guards(host: Host) -> str:
    """Units of guards that are at work."""
    return host.shell("systemctl list-units --no-legend --plain 'imageops-job-thaw-*' | cut -d' ' -f1").strip()


def freeze(host: Host) -> None:
    said = host.run("vm_freeze", name=NAME, limit=LIMIT)
    expect(said.get("changed") is True and not said.get("failed"), f"the guest was not frozen: {said}")


def killed_at(point: str) -> Callable[[Host], None]:
    """SIGKILL of the module (and of the guard, where the point is in it) at a named moment."""

    def case(host: Host) -> None:
        began = time.monotonic()
        said = host.run("vm_freeze", name=NAME, limit=LIMIT, fault=f"{point}:kill")
        expect(bool(said.get("lost") or said.get("failed")), f"the module was not killed: {said}")
        thaws(host, seconds=max(LIMIT - (time.monotonic() - began), 0) + _GRACE)

    return case


def killed_thaw(host: Host) -> None:
    """SIGKILL between thawing and letting the guard go: the guard thaws a guest that isn't frozen, which is no harm."""
    freeze(host)
    host.run("vm_freeze", name=NAME, state="thawed", fault="thaw:before-release:kill")
    thaws(host, seconds=LIMIT + _GRACE)


def killed_snapshot(point: str) -> Callable[[Host], None]:
    """SIGKILL of a module that holds the guest frozen itself: the guard sees it and thaws at once."""

    def case(host: Host) -> None:
        options: dict[str, Any] = {"vm": NAME, "name": "quiet", "kind": "external", "memory": False, "quiesce": True}
        said = host.run("vm_snapshot", **options, quiesce_timeout=120, fault=f"{point}:kill")
        expect(bool(said.get("lost") or said.get("failed")), f"the module was not killed: {said}")
        wait_for(lambda: status(host) == "thawed", "thawing long before the limit", seconds=_GRACE)
        after = host.run("vm_snapshot", **options, quiesce_timeout=120)
        expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
        gone = host.run("vm_snapshot", vm=NAME, name="quiet", state="absent")
        expect(not gone.get("failed"), f"the snapshot could not be deleted: {gone}")
        thaws(host, seconds=_GRACE)

    return case


def stopped_guard(host: Host) -> None:
    """A guard that is told to stop thaws first."""
    freeze(host)
    host.shell(f"systemctl stop {guards(host)}")
    thaws(host, seconds=_GRACE)


def killed_guard(host: Host) -> None:
    """SIGKILL of the guard alone: the task thaws the guest as ever."""
    freeze(host)
    host.shell(f"systemctl kill --signal=KILL {guards(host)}")
    said = host.run("vm_freeze", name=NAME, state="thawed")
    expect(said.get("changed") is True and not said.get("failed"), f"not thawed: {said}")
    thaws(host, seconds=_GRACE)


def killed_daemon(host: Host) -> None:
    """SIGKILL of libvirtd while the guest is frozen: the guard finds its way again."""
    freeze(host)
    kill_libvirtd(host)
    thaws(host, seconds=LIMIT + 3 * _GRACE)


CASES: dict[str, Callable[[Host], None]] = {
    "kill -9 before the freeze": killed_at("thaw:all-guarded"),
    "kill -9 while frozen": killed_at("thaw:all-frozen"),
    "kill -9 of the guard as it begins": killed_at("thaw:armed"),
    "kill -9 after thawing": killed_thaw,
    "kill -9 of a snapshot before the freeze": killed_snapshot("thaw:guarded"),
    "kill -9 of a snapshot while frozen": killed_snapshot("thaw:frozen"),
    "the guard is stopped": stopped_guard,
    "kill -9 of the guard": killed_guard,
    "kill -9 of libvirtd while frozen": killed_daemon,
}
