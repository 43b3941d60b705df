#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_freeze."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_freeze
short_description: Freeze the file systems of running guests for a moment
version_added: 0.3.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Freezes and thaws the file systems of running VMs through their guest agent, so that what is copied meanwhile is consistent.
  - Before a guest is frozen, a guard starts on its host. It is a process of its own, and thaws the guest when O(limit) has passed,
    whatever became of this task, its playbook and the controller. So no guest stays frozen.
  - The VMs of one task are frozen at one moment, after the guards of all of them wait. When one can't be frozen, none stays frozen.
  - To take a snapshot of VMs on several hosts at one moment, use the role P(imageops.fleet.group_snapshot#role). For the snapshot of
    a single VM use C(quiesce) of M(imageops.fleet.vm_snapshot), and this module for copies made by other means.
extends_documentation_fragment:
  - imageops.fleet.attributes
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - O(state=frozen) changes nothing as long as the guest is frozen, that is, until O(limit) has passed.
requirements:
  - C(libvirt) for Python on the host (Debian's package C(python3-libvirt))
  - A channel C(org.qemu.guest_agent.0) in the VM's definition, and C(qemu-guest-agent) in the guest
notes:
  - A guest that was frozen by somebody else, without a guard of this module, is refused by O(state=frozen) and thawed by
    O(state=thawed).
  - While a guest is frozen, what its programs write waits. libvirt logs that a command was given to its agent.
options:
  vms:
    description:
      - Many VMs of one host in one task, with the same options as the single form. They are frozen at one moment.
      - More than 64 are refused, and one that is named twice.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the VM. One that isn't there is an error; one that doesn't run is an error with O(state=frozen).
        type: str
        required: true
      state: &state
        description:
          - V(frozen) freezes the file systems of the guest.
          - V(thawed) thaws them, and ends the guard. A guest that isn't frozen is left as it is.
        type: str
        choices: [frozen, thawed]
      limit: &limit
        description:
          - Seconds after which the guard thaws the guest, from 1 to 300. They count from just before the guest is frozen.
          - Also how long the guest may take for freezing.
        type: int
      uri: &uri
        description: The local libvirt connection. URIs with a host part are refused.
        type: str
  name:
    description: Name of the VM. One that isn't there is an error; one that doesn't run is an error with O(state=frozen).
    type: str
  state:
    <<: *state
    default: frozen
  limit:
    <<: *limit
    default: 10
  uri:
    <<: *uri
    default: qemu:///system
  lock_timeout:
    description: Seconds to wait for another task that works on one of the VMs.
    type: int
    default: 60
seealso:
  - module: imageops.fleet.vm_snapshot
"""

EXAMPLES = r"""
- name: Freeze two guests for 20 seconds at most
  imageops.fleet.vm_freeze:
    limit: 20
    vms:
      - name: web-1
      - name: db-1

- name: Thaw them
  imageops.fleet.vm_freeze:
    state: thawed
    vms:
      - name: web-1
      - name: db-1
  register: thawed

- name: What was made in between counts only if the guards had not to thaw them
  ansible.builtin.assert:
    that: thawed.vms | selectattr('thawed_by', 'equalto', 'task') | length == 2
"""

RETURN = r"""
vms:
  description: One entry per VM, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM.
      type: str
      returned: always
    state:
      description: Whether its file systems are V(frozen) or V(thawed).
      type: str
      returned: success
    guard:
      description: The job that thaws the guest at the limit; M(imageops.fleet.disk_job_info) tells how it stands.
      type: str
      returned: when the guest is frozen
    file_systems:
      description: How many file systems were frozen or thawed.
      type: int
      returned: when the task did it
    thawed_by:
      description: V(task), or V(guard) when that had thawed the guest before.
      type: str
      returned: when the guest was frozen before
    seconds:
      description: How long its file systems were frozen.
      type: float
      returned: when the guest was frozen by this module before
    changed:
      description: Whether this item changed something, or would.
      type: bool
      returned: always
    steps:
      description: What was done, or would be.
      type: list
      elements: str
      returned: success
    failed:
      description: Whether this item failed.
      type: bool
      returned: failure
    msg:
      description: Why this item failed.
      type: str
      returned: failure
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.freeze_spec import FREEZE
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_freeze import OPERATION


def main() -> None:
    run_module(FREEZE, OPERATION)


if __name__ == "__main__":
    main()
