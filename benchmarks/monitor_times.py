# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long QEMU was at a command: `monitor_times.py LOG COMMAND` prints the seconds of each, as JSON, from libvirtd's log.

libvirt logs what it sends to a monitor and what comes back at level 2 of the source qemu.qemu_monitor, with milliseconds and ids.
"""

from __future__ import annotations

import json
import re
import sys
from datetime import datetime

LINE = re.compile(r"^(\S+ \S+)\+\d+: .*QEMU_MONITOR_(SEND_MSG|RECV_REPLY): mon=(\S+) (?:msg|reply)=(.*)")
COMMAND, IDENTITY = re.compile(r'"execute": ?"([^"]+)"'), re.compile(r'"id": ?"(libvirt-\d+)"')


def seconds_of(lines: list[str], command: str) -> list[float]:
    """From the sending of each such command to its answer."""
    sent: dict[tuple[str, str], datetime] = {}
    found = []
    for line in lines:
        told = LINE.match(line)
        identity = IDENTITY.search(line)
        if not told or not identity:
            continue
        when, key = datetime.fromisoformat(told[1]), (told[3], identity[1])
        name = COMMAND.search(told[4])
        if told[2] == "SEND_MSG" and name and name[1] == command:
            sent[key] = when
        elif told[2] == "RECV_REPLY" and key in sent:
            found.append(round((when - sent.pop(key)).total_seconds(), 3))
    return found


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8", errors="replace") as stream:
        print(json.dumps(seconds_of(stream.read().splitlines(), sys.argv[2])))
