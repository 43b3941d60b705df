# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter place: which VM goes to which host."""

from __future__ import annotations

DOCUMENTATION = r"""
name: place
short_description: Spread virtual machines over hosts
version_added: 0.3.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Finds a host for each VM of a list by free memory, CPUs and disk space, with rules that keep VMs together or apart.
  - A VM that a host has already stays there, whatever the rules say, so a second run moves nothing. The order of the input doesn't
    matter.
  - The largest VMs are placed first, each where the fullest of the resources that it needs is the least full afterwards. Where that
    leads nowhere, other arrangements are tried. When there is none, the error says which VM has no room, and what each host lacks.
  - It changes nothing; the role P(imageops.fleet.deploy#role) uses it when O(imageops.fleet.deploy#role:main:deploy_placement) is set.
positional: facts
options:
  _input:
    description:
      - The VMs, with the options of M(imageops.fleet.vm), of which C(name), C(state), C(memory), C(vcpus), C(hugepages), C(labels)
        and C(disks) count. What a new VM leaves out counts as 1 GiB and one virtual CPU.
      - Of disks, C(size) counts as given, and a full copy of an image as told in O(image_sizes). A linked disk without a size counts
        as nothing.
      - One whose C(state) is V(absent) needs no room.
    type: list
    elements: dict
    required: true
  facts:
    description: By host, what M(imageops.fleet.host_info) returned there.
    type: dict
    required: true
  rules:
    description:
      - Rules, each with one of C(apart) and C(together). They take patterns of names (V(web-*)), or a dictionary with C(names),
        C(labels) (all of which a VM must have) and C(by), a label, each value of which makes a group of its own.
      - C(max), with C(apart), is how many of a group a host may have; one without it.
      - C(hard), true without it, is whether the rule may not be broken. Others are kept where there is room.
      - The VMs that hosts have already count too.
    type: list
    elements: dict
    default: []
  cpu_ratio:
    description: How many virtual CPUs a host may give away for each of its CPUs.
    type: float
    default: 8
  memory_ratio:
    description: How much memory a host may give away, as a multiple of what it has.
    type: float
    default: 1
  keep_memory:
    description: Memory that stays free on each host, such as V(2GiB).
    type: str
    default: '0'
  keep_disk:
    description: Space that stays free on each file system, such as V(10GiB).
    type: str
    default: '0'
  count_stopped:
    description: Whether stopped VMs take memory and CPUs, too.
    type: bool
    default: false
  disks:
    description: Disks of VMs that name none themselves.
    type: list
    elements: dict
    default: []
  image_sizes:
    description: Bytes by path of an image that disks are full copies of.
    type: dict
    default: {}
  image_cost:
    description:
      - How much fuller, as a part of what a host has, a host may be for holding the image that a VM's disk is made from.
      - A host that holds it, by C(images) of M(imageops.fleet.host_info), is preferred to one that is less full by up to this much. V(0) makes
        images count only where all else is equal; a larger number saves transfers, and fills hosts less evenly.
      - An image is meant by its reference, its digest or the path of its file on the host.
    type: float
    default: 0.05
    version_added: 0.3.0
seealso:
  - module: imageops.fleet.host_info
  - module: imageops.fleet.vm
"""

EXAMPLES = r"""
- name: What each host has
  imageops.fleet.host_info:
  register: found

- name: Where two web servers and their cache would go
  ansible.builtin.debug:
    msg: "{{ vms | imageops.fleet.place(facts, rules=rules, keep_memory='1GiB') }}"
  run_once: true
  vars:
    facts: "{{ dict(ansible_play_hosts | zip(ansible_play_hosts | map('extract', hostvars, 'found'))) }}"
    vms:
      - {name: web-1, memory: 256MiB, labels: {role: web}}
      - {name: web-2, memory: 256MiB, labels: {role: web}}
      - {name: cache-1, memory: 128MiB}
    rules:
      - {apart: {labels: {role: web}}, hard: false}
      - {together: [web-1, cache-1]}
"""

RETURN = r"""
_value:
  description: One entry per VM, in the order of the input.
  type: list
  elements: dict
  contains:
    vm:
      description: Name of the VM.
      type: str
    host:
      description: The host it goes to, or is on. An empty text for one that shall be absent and is nowhere.
      type: str
    why:
      description: Why there.
      type: str
  sample:
    - {vm: web-1, host: deb12, why: is there already}
    - {vm: web-2, host: deb13, why: 'leaves the most room: memory is 21% full then'}
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.fleet.plugins.module_utils._errors import ImageOpsError, InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._sizes import parse_size
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement import IMAGE_COST
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_request import Policy, places
from ansible_collections.imageops.fleet.plugins.plugin_utils.placement_words import Impossible


def place(vms: Any, facts: Any, rules: Any = (), **options: Any) -> list[dict[str, str]]:
    """A host for each VM."""
    try:
        if not isinstance(vms, (list, tuple)) or not isinstance(rules, (list, tuple)) or not isinstance(facts, dict):
            raise InvalidOption("place: it takes a list of VMs, the facts by host, and a list of rules.")
        return places(vms, facts, rules, _policy(**options))
    except (ImageOpsError, Impossible) as error:
        raise AnsibleFilterError(str(error)) from None


def _policy(
    *,
    cpu_ratio: Any = 8.0,
    memory_ratio: Any = 1.0,
    keep_memory: Any = 0,
    keep_disk: Any = 0,
    count_stopped: Any = False,
    disks: Any = (),
    image_sizes: Any = None,
    image_cost: Any = IMAGE_COST,
) -> Policy:
    return Policy(
        cpu_ratio=_ratio(cpu_ratio, option="cpu_ratio"),
        memory_ratio=_ratio(memory_ratio, option="memory_ratio"),
        keep_memory=parse_size(keep_memory, option="keep_memory"),
        keep_disk=parse_size(keep_disk, option="keep_disk"),
        count_stopped=bool(count_stopped),
        disks=tuple(disks),
        image_sizes=dict(image_sizes or {}),
        image_cost=_cost(image_cost),
    )


def _ratio(value: Any, *, option: str) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = 0.0
    if not 0 < found < float("inf"):
        raise InvalidOption(f"{option}: '{value}' is not a number above 0.")
    return found


def _cost(value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = -1.0
    if not 0 <= found < float("inf"):
        raise InvalidOption(f"image_cost: '{value}' is not a number from 0 on.")
    # Even for nothing, what needn't be fetched needn't be fetched.
    return max(found, 1e-9)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"place": place}
