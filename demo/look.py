# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs on a host of the fleet: what virsh, qemu-img and the consoles say about the demo's machines, as JSON."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def chain(disk: ElementTree.Element) -> list[str]:
    """File names from the active layer down to the image."""
    source, driver = disk.find("source"), disk.find("driver")
    if source is None or driver is None:
        return []
    info = output(
        "qemu-img",
        "info",
        "-U",
        "-f",
        driver.get("type", "raw"),
        "--backing-chain",
        "--output=json",
        source.get("file", ""),
    )
    return [Path(layer["filename"]).name for layer in json.loads(info)]


def said(domain: ElementTree.Element) -> dict[str, str]:
    """The fields of the guest's last greeting on the serial console."""
    log = domain.find("devices/serial/log")
    path = Path(log.get("file", "")) if log is not None else None
    text = path.read_text(errors="replace") if path and path.exists() else ""
    greetings = re.findall(r"imageops-guest ready: (.*)", text)
    return dict(re.findall(r"(\w+)=(\S+)", greetings[-1])) if greetings else {}


def machine(name: str) -> dict[str, object]:
    domain = ElementTree.fromstring(output("virsh", "dumpxml", name))
    disk = domain.find("devices/disk[@device='disk']")
    return {
        "name": name,
        "state": output("virsh", "domstate", name).strip(),
        "acceleration": {"kvm": "KVM", "qemu": "TCG"}.get(domain.get("type", ""), "unknown"),
        "firmware": "UEFI" if domain.find("os/loader") is not None else "BIOS",
        "chain": [] if disk is None else chain(disk),
        "snapshots": output("virsh", "snapshot-list", "--name", name).split(),
        "said": said(domain),
    }


names = [name for name in output("virsh", "list", "--all", "--name").split() if name.startswith("demo-")]
json.dump([machine(name) for name in sorted(names)], sys.stdout)
