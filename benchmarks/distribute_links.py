# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The links of the controller and of the hosts: limited by tc, counted by the kernel."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from podman import Podman


@dataclass(frozen=True)
class Sent:
    """Bytes over the links: what the controller sent, and the most that one host received and sent."""

    controller: int
    host_in: int
    host_out: int


class Links:
    """The bridge, over which all goes that the controller sends, and the hosts' ends of their links on it."""

    def __init__(self, podman: Podman, hosts: Sequence[str]) -> None:
        self._sudo = podman.sudo
        self._bridge = f"iof{podman.identity}"
        names = {link["ifindex"]: link["ifname"] for link in self._links()}
        peers = [int(podman.inside(host, "cat", "/sys/class/net/eth0/iflink")) for host in hosts]
        self._ends = [names[number] for number in peers]
        self._podman, self._hosts = podman, list(hosts)

    def limit(self, rate: str) -> None:
        """Each link carries `rate` at most, either way."""
        shape = ["root", "tbf", "rate", rate, "burst", "1mb", "latency", "100ms"]
        for device in (self._bridge, *self._ends):
            subprocess.run([*self._sudo, "tc", "qdisc", "replace", "dev", device, *shape], check=True)
        for host in self._hosts:
            self._podman.inside(host, "tc", "qdisc", "replace", "dev", "eth0", *shape)

    def free(self) -> None:
        """No limits any more."""
        for device in (self._bridge, *self._ends):
            subprocess.run([*self._sudo, "tc", "qdisc", "del", "dev", device, "root"], check=False)
        for host in self._hosts:
            self._podman.succeeds("exec", host, "tc", "qdisc", "del", "dev", "eth0", "root")

    def count(self) -> tuple[int, list[int], list[int]]:
        """Bytes since the links were made: sent by the controller; received and sent by each host."""
        told = {link["ifname"]: link["stats64"] for link in self._links()}
        ends = [told[name] for name in self._ends]
        # What the host's end sends, the host receives.
        return (
            told[self._bridge]["tx"]["bytes"],
            [end["tx"]["bytes"] for end in ends],
            [end["rx"]["bytes"] for end in ends],
        )

    def since(self, before: tuple[int, list[int], list[int]]) -> Sent:
        """What went over the links since `before`."""
        controller, received, sent = self.count()
        return Sent(
            controller - before[0],
            max(now - then for now, then in zip(received, before[1])),
            max(now - then for now, then in zip(sent, before[2])),
        )

    @staticmethod
    def _links() -> list[dict[str, object]]:
        told: list[dict[str, object]] = json.loads(subprocess.check_output(["ip", "-s", "-j", "link", "show"]))
        return told
