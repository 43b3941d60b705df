#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module host_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_info
short_description: Tell what a host has for virtual machines
version_added: 0.3.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Tells a hypervisor host's memory, CPUs, huge pages and storage, what its VMs were given of them, and which VMs there are.
  - The filter P(imageops.fleet.place#filter) spreads VMs over hosts by these facts.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.query
requirements:
  - C(libvirt) for Python on the host (Debian's package C(python3-libvirt))
options:
  uri:
    description: The local libvirt connection. URIs with a host part are refused.
    type: str
    default: qemu:///system
  folders:
    description:
      - Absolute paths of folders whose free space is told besides that of the storage pools. One that isn't there yet counts as
        the folder above it.
    type: list
    elements: path
    default: []
seealso:
  - module: imageops.fleet.vm_info
  - plugin: imageops.fleet.place
    plugin_type: filter
"""

EXAMPLES = r"""
- name: What the host has
  imageops.fleet.host_info:
    folders: [/srv]
  register: found

- name: How much memory new VMs can have
  ansible.builtin.debug:
    msg: "{{ found.host.memory.free | human_readable }} of {{ found.host.memory.total | human_readable }}"
"""

RETURN = r"""
host:
  description: What the host has.
  returned: success
  type: dict
  contains:
    memory:
      description:
        - Bytes of memory. C(total) and C(available) as the kernel tells them; C(promised) is what running VMs were given and haven't
          touched yet; C(free) is what is left of C(available) when they do; C(stopped) is what stopped VMs would take.
        - VMs on huge pages are in none of them.
      type: dict
      sample: {total: 25281560576, available: 21474836480, promised: 2147483648, free: 19327352832, stopped: 1073741824}
    hugepages:
      description: Size of a C(page), C(total) and C(free) bytes, of each size of which the host reserved some.
      type: list
      elements: dict
    cpus:
      description: CPUs of the host.
      type: int
      sample: 8
    vcpus:
      description: Virtual CPUs of the C(running) and of the C(stopped) VMs.
      type: dict
      sample: {running: 12, stopped: 2}
    storage:
      description:
        - Active storage pools and the folders that were asked for, each with C(pool) (or an empty text), C(path), C(total) and
          C(free) bytes, and C(mount), which names the file system. Those with the same C(mount) share their space.
      type: list
      elements: dict
      sample: [{pool: default, path: /var/lib/libvirt/images, mount: /, total: 107374182400, free: 85899345920}]
    default_folder:
      description: Where new disks go that name no path.
      type: str
      sample: /var/lib/libvirt/images
    images:
      description:
        - Images of catalogs that are on the host as M(imageops.fleet.image_pull) made them, each with its C(reference) and C(digest), the C(path)
          and C(format) of the file, the C(disk) of the image that it holds, and the C(size) of that disk in bytes.
      type: list
      elements: dict
      sample:
        - reference: registry.example:5000/team/debian:12
          digest: sha256:2b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a
          path: /var/lib/imageops/images/debian-12.qcow2
          disk: vda
          format: qcow2
          size: 2147483648
    arch:
      description: Architecture of the host.
      type: str
      sample: x86_64
    acceleration:
      description: Which accelerator new VMs get, C(type) V(kvm) or V(tcg), and for what C(reason).
      type: dict
      sample: {type: kvm, reason: KVM works here}
    libvirt:
      description: Version of libvirt.
      type: str
      sample: 9.0.0
    qemu:
      description: Version of QEMU.
      type: str
      sample: 7.2.22
    uri:
      description: libvirt's URI.
      type: str
      sample: qemu:///system
vms:
  description: One entry per VM of the host, in the order of their names.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM.
      type: str
      returned: always
      sample: web-1
    uuid:
      description: UUID of the VM.
      type: str
      returned: when the VM exists
    state:
      description:
        - V(running), V(paused), V(stopped), V(stopping), V(crashed), V(suspended), V(unknown) with C(error), or V(absent) when it
          was removed just now.
      type: str
      returned: always
      sample: running
    running:
      description: Whether it takes memory and CPUs now, paused or not.
      type: bool
      returned: when it can be read
    memory:
      description: Bytes of memory that it has, or has at its next start while it is stopped.
      type: int
      returned: when it can be read
    vcpus:
      description: Its virtual CPUs.
      type: int
      returned: when it can be read
    hugepages:
      description: Whether its memory is on huge pages.
      type: bool
      returned: when it can be read
    labels:
      description: Its labels, as O(imageops.fleet.vm#module:labels).
      type: dict
      returned: when it can be read
    error:
      description: Why it can't be read.
      type: str
      returned: when it can't be read
    changed:
      description: Always false.
      type: bool
      returned: always
    steps:
      description: Always empty, as nothing is done.
      type: list
      elements: str
      returned: success
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.host_info_spec import HOST_INFO
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.host_info import OPERATION


def main() -> None:
    run_module(HOST_INFO, OPERATION)


if __name__ == "__main__":
    main()
