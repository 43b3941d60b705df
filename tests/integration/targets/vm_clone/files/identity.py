# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asks a guest, through its agent, what tells it apart from others; prints JSON.

identity.py DOMAIN
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
from typing import Any

ASK = """
echo machine_id=$(cat /etc/machine-id)
echo hostname=$(hostname)
echo host_keys=$(cat /etc/ssh/ssh_host_*_key.pub | cut -d' ' -f2 | sort | sha256sum | cut -d' ' -f1)
echo instance=$(cat /var/lib/cloud/data/instance-id)
echo dhcp_id=$(sed -n 's/^CLIENTID=//p' /run/systemd/netif/leases/* 2>/dev/null | head -n 1)
echo mac=$(cat /sys/class/net/e*/address | head -n 1)
echo product_uuid=$(cat /sys/class/dmi/id/product_uuid)
echo disk_serial=$(cat /sys/block/vda/serial)
"""


def agent(domain: str, execute: str, **arguments: Any) -> Any:
    asked = json.dumps({"execute": execute, "arguments": arguments})
    said = subprocess.check_output(["virsh", "qemu-agent-command", domain, "--timeout", "600", asked], text=True)
    return json.loads(said)["return"]


def main() -> int:
    domain = sys.argv[1]
    pid = agent(domain, "guest-exec", path="/bin/sh", arg=["-c", ASK], **{"capture-output": True})["pid"]
    for _turn in range(1200):
        status = agent(domain, "guest-exec-status", pid=pid)
        if status["exited"]:
            text = base64.b64decode(status.get("out-data", "")).decode()
            print(json.dumps(dict(line.split("=", 1) for line in text.splitlines())))
            return 0
        time.sleep(0.5)
    return 1


if __name__ == "__main__":
    sys.exit(main())
