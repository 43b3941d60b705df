# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks of IPv4 that the host has routes to, as the kernel tells them."""

from __future__ import annotations

import ipaddress
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass

PROC = "/proc/net"


@dataclass(frozen=True)
class Route:
    """One route; `direct` when the interface is in that network itself."""

    interface: str
    network: ipaddress.IPv4Network
    direct: bool


def routes(folder: str = PROC) -> Iterator[Route]:
    """All but the default ones."""
    try:
        with open(os.path.join(folder, "route"), encoding="ascii") as stream:
            rows = [line.split() for line in stream.readlines()[1:]]
    except FileNotFoundError:
        # A host without IPv4.
        return
    for row in rows:
        # The kernel writes addresses as the machine holds them in memory.
        address, gateway, mask = (
            ipaddress.IPv4Address(struct.pack("=L", int(row[column], 16))) for column in (1, 2, 7)
        )
        if int(mask):
            yield Route(row[0], ipaddress.IPv4Network(f"{address}/{mask}", strict=False), not int(gateway))
