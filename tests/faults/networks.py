# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Interruptions of vm_network at every named moment: the next run converges, and a VM is on its network again."""

from __future__ import annotations

from typing import Any, Callable

from host import Host, expect

NAME = "imageops-faults"
BRIDGE = "imgops-faults"
MADE: dict[str, Any] = {
    "name": NAME,
    "bridge": BRIDGE,
    "addresses": [{"address": "10.213.99.1/24"}],
    "xml": "<network><portgroup name='slow'/></network>",
}
CHANGED: dict[str, Any] = {**MADE, "mtu": 1400, "restart": "always"}
REMOVED: dict[str, Any] = {"name": NAME, "state": "absent"}
_MAKING = ("network:before-define", "network:defined", "network:before-start", "network:started")
_RESTARTING = ("network:before-restart", "network:down", "network:before-start", "network:started")
_REMOVING = ("network:before-remove", "network:undefined")
POINTS = (*dict.fromkeys((*_MAKING, *_RESTARTING, *_REMOVING)),)


def tidy(host: Host) -> None:
    """No network and no VM of ours."""
    host.shell(f"""
    virsh -q destroy {NAME} >/dev/null 2>&1 || true
    virsh -q undefine {NAME} >/dev/null 2>&1 || true
    virsh -q net-destroy {NAME} >/dev/null 2>&1 || true
    virsh -q net-undefine {NAME} >/dev/null 2>&1 || true
    """)


prepare = tidy


def _interrupted(host: Host, point: str, options: dict[str, Any]) -> None:
    """kill -9 at the moment; the next run finishes it, and a further one changes nothing."""
    said = host.run("vm_network", fault=f"{point}:kill", **options)
    expect(bool(said.get("lost") or said.get("failed")), f"nothing was interrupted: {said}")
    after = host.run("vm_network", **options)
    expect(not after.get("failed") and not after.get("lost"), f"the next run failed: {after}")
    again = host.run("vm_network", **options)
    expect(again.get("changed") is False, f"a further run changed something: {again}")


def made_at(point: str) -> Callable[[Host], None]:
    def case(host: Host) -> None:
        tidy(host)
        _interrupted(host, point, MADE)
        expect(BRIDGE in host.shell("ls /sys/class/net"), "the network doesn't run")

    return case


def restarted_at(point: str) -> Callable[[Host], None]:
    def case(host: Host) -> None:
        tidy(host)
        expect(not host.run("vm_network", **MADE)["failed"], "the network could not be made")
        vm = {"name": NAME, "memory": "32MiB", "disks": [], "networks": [{"network": NAME}]}
        expect(not host.run("vm", **vm)["failed"], "the VM could not be made")
        _interrupted(host, point, CHANGED)
        expect(host.shell(f"cat /sys/class/net/{BRIDGE}/mtu").strip() == "1400", "it runs with its old description")
        expect("vnet" in host.shell(f"ls /sys/class/net/{BRIDGE}/brif"), "the VM is not on its network")

    return case


def removed_at(point: str) -> Callable[[Host], None]:
    def case(host: Host) -> None:
        tidy(host)
        expect(not host.run("vm_network", **MADE)["failed"], "the network could not be made")
        _interrupted(host, point, REMOVED)
        expect(BRIDGE not in host.shell("ls /sys/class/net"), "its bridge is left")

    return case


CASES: dict[str, Callable[[Host], None]] = {
    **{f"kill -9 while made at {point}": made_at(point) for point in _MAKING},
    **{f"kill -9 while restarted at {point}": restarted_at(point) for point in _RESTARTING},
    **{f"kill -9 while removed at {point}": removed_at(point) for point in _REMOVING},
}
