# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with one VM, of libvirt's test driver, for tests of snapshots."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import Connection
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_snapshot
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools

# libvirt's test driver keeps snapshots as libvirt does, only without disks; run state 1 is running, 5 is stopped.
NODE = """
<node>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>web</name><memory>1024</memory><os><type>hvm</type></os><test:runstate>{state}</test:runstate>
    <devices>
      <disk type='file' device='disk'><driver type='{format}'/><source file='{disk}'/><target dev='vda'/></disk>
      <disk type='file' device='cdrom'><source file='/seed.iso'/><target dev='sda'/><readonly/></disk>
      {more}
    </devices>
  </domain>
</node>
"""
STOPPED, RUNNING = 5, 1


class Host:
    """Makes hosts with one VM."""

    def __init__(self, folder: Path) -> None:
        self.disk = folder / "disk.qcow2"
        self.node = folder / "node.xml"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(self.disk), "1M"], check=True)
        self.tools = self.have()

    def have(self, state: int = STOPPED, *, format: str = "qcow2", more: str = "") -> Tools:
        self.node.write_text(NODE.format(state=state, disk=self.disk, format=format, more=more))
        self.tools = Tools(connect=lambda uri: Connection.open(f"test://{self.node}"))
        return self.tools

    def plan(self, name: str, **options: Any) -> Any:
        """The plan of a task of its own."""
        self.tools.forecast.clear()
        return self.next(name, **options)

    def next(self, name: str, **options: Any) -> Any:
        """The plan of an item after others of its list."""
        defaults = {
            "vm": "web", "state": "present", "description": None, "memory": None, "start": False,
            "remove_children": False, "timeout": 30, "uri": "test:///default", "kind": "internal", "vms": None,
            "quiesce": False, "quiesce_timeout": 10, "adopt": False, "keep": None, "older_than": None,
        }  # fmt: skip
        return vm_snapshot.plan_snapshot({**defaults, "name": name, **options}, self.tools)

    def have_snapshot(self, name: str) -> None:
        subprocess.run(["qemu-img", "snapshot", "-c", name, str(self.disk)], check=True)


def apply(plan: Any) -> dict[str, Any]:
    """What the runner does."""
    for step in plan.steps:
        step.run()
    return dict(plan.observe())
