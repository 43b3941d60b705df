# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter lab_topology: from the description of a lab to its machines and networks."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lab_topology
short_description: Make the machines and networks of a lab from its description
version_added: 0.3.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Names the networks and VMs of each participant of a lab, and gives them addresses and MAC addresses, the same in each run.
  - It changes nothing; the role P(imageops.fleet.lab#role) uses it. What can't be meant is refused with one sentence.
options:
  _input:
    description:
      - The variables of the role P(imageops.fleet.lab#role) without their prefix, of which C(name), C(participants), C(networks), C(machines),
        C(subnets), C(prefix), C(dir), C(images_on_host), C(user), C(reset_only) and C(time_limit) count.
    type: dict
    required: true
  passwords:
    description: Passwords of C(user), by participant. Without this option the VMs have no seeds, which may hold secrets; with V({}) they have.
    type: dict
seealso:
  - plugin: imageops.fleet.place
    plugin_type: filter
  - module: imageops.fleet.vm_network
"""

EXAMPLES = r"""
- name: The addresses of a lab's machines
  ansible.builtin.debug:
    msg: "{{ (lab | imageops.fleet.lab_topology).participants | map(attribute='machines') | flatten }}"
  vars:
    lab:
      name: nets
      participants: 2
      subnets: 10.60.0.0/16
      prefix: 24
      dir: /var/lib/libvirt/images/lab-nets
      networks: [{name: lan}]
      machines: [{name: web, image: /srv/images/web.qcow2, networks: [lan]}]
"""

RETURN = r"""
_value:
  description:
    - C(participants), each with its C(name), C(networks), C(machines) and C(vms).
    - C(networks) of all of them as O(imageops.fleet.vm_network#module:networks), C(vms) as O(imageops.fleet.vm#module:vms).
    - C(images) of the controller that hosts need, C(rules) for the filter P(imageops.fleet.place#filter), the participants to C(reset), the C(limit).
  type: dict
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError, InvalidOption
from ansible_collections.imageops.fleet.plugins.plugin_utils.lab_topology import topology


def lab_topology(description: Any, passwords: Any = None) -> dict[str, Any]:
    """The machines and networks of a lab."""
    try:
        if not isinstance(description, dict) or not isinstance(passwords or {}, dict):
            raise InvalidOption("lab_topology: it takes the description of a lab, and passwords by participant.")
        return topology(description, passwords)
    except ImageOpsError as error:
        raise AnsibleFilterError(str(error)) from None


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"lab_topology": lab_topology}
