#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_info
short_description: Tell what the virtual machines of a host are
version_added: 0.1.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Tells state, hardware, disks with their chains, networks with addresses, snapshots and more of all VMs of a host, or of
    those that are named.
  - A VM that can't be read doesn't hide the others; its entry has an C(error).
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.query
requirements:
  - C(libvirt) for Python on the host (Debian's package C(python3-libvirt))
  - C(qemu.qmp) for Python on the host for O(hypervisor=qmp) (the role C(imageops.fleet.hypervisor) installs it)
options:
  name:
    description: Name of one VM; an empty one is refused. Without O(name) and O(names) all VMs are told of.
    type: str
  names:
    description: Names of VMs.
    type: list
    elements: str
  uri:
    description: libvirt's URI.
    type: str
    default: qemu:///system
  addresses:
    description:
      - Whether to look for addresses of running VMs in all ways, until one tells some, namely the leases of libvirt's DHCP servers, the guest agent,
        and the host's ARP table. A guest agent that doesn't answer costs some seconds.
    type: bool
    default: false
    version_added: 0.3.0
  hypervisor:
    description:
      - V(libvirt), or V(qmp) for a QEMU process that was started without libvirt and has a QMP socket, O(socket).
      - Then the host's other VMs aren't told of, and what only libvirt knows (autostart, networks and the like) is left out.
    type: str
    choices: [libvirt, qmp]
    default: libvirt
    version_added: 0.3.0
  socket:
    description:
      - With O(hypervisor=qmp), the path of the process' QMP socket on the host, as in its option
        C(-qmp unix:PATH,server=on,wait=off). It must be root's or the task's user's own.
      - QEMU serves one client at a time. Another one that stays connected makes the task fail.
    type: path
    version_added: 0.3.0
seealso:
  - module: imageops.fleet.vm
"""

EXAMPLES = r"""
- name: All VMs of the host
  imageops.fleet.vm_info:
  register: found

- name: Names of those that run
  ansible.builtin.debug:
    msg: "{{ found.vms | selectattr('state', 'equalto', 'running') | map(attribute='name') }}"

- name: Two VMs, with what they lie on
  imageops.fleet.vm_info:
    names: [web-1, web-2]

- name: A QEMU process that libvirt doesn't know
  imageops.fleet.vm_info:
    hypervisor: qmp
    socket: /run/router/qmp.sock
"""

RETURN = r"""
vms:
  description: One entry per VM, in the order of their names, or as given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the VM.
      type: str
      returned: always
      sample: web-1
    exists:
      description: Whether the host has it.
      type: bool
      returned: always
    state:
      description:
        - V(running), V(paused), V(stopped), V(stopping), V(crashed), V(suspended), V(absent), or V(unknown) with C(error).
      type: str
      returned: always
      sample: running
    uri:
      description: libvirt's URI, or V(qmp://) and the path of the socket.
      type: str
      returned: always
      sample: qemu:///system
    error:
      description: Why the VM can't be read.
      type: str
      returned: when it can't be read
    uuid:
      description: UUID of the VM.
      type: str
      returned: when the VM exists
    memory_now:
      description: Bytes of memory that the balloon leaves to the guest.
      type: int
      returned: with O(hypervisor=qmp)
    qemu_version:
      description: Version of QEMU.
      type: str
      returned: with O(hypervisor=qmp)
    autostart:
      description: Whether it starts with the host.
      type: bool
      returned: when the VM exists
    memory:
      description: Memory at its next start, in bytes.
      type: int
      returned: when the VM exists
    vcpus:
      description: Virtual CPUs at its next start.
      type: int
      returned: when the VM exists
    cpu:
      description: Mode or model of the CPU.
      type: str
      returned: when the VM exists
    machine:
      description: Machine type.
      type: str
      returned: when the VM exists
    firmware:
      description: V(bios) or V(uefi).
      type: str
      returned: when the VM exists
    secure_boot:
      description: Whether its firmware starts signed code only.
      type: bool
      returned: when the VM exists
    tpm:
      description: Whether it has a TPM.
      type: bool
      returned: when the VM exists
    labels:
      description: Its labels, see O(imageops.fleet.vm#module:labels).
      type: dict
      returned: when the VM exists
      sample:
        tier: web
    acceleration:
      description: Whether C(type) V(kvm) or V(tcg) is used, and for what C(reason).
      type: dict
      returned: when the VM exists
    title:
      description: Title of the VM.
      type: str
      returned: when the VM exists
    description:
      description: Description of the VM.
      type: str
      returned: when the VM exists
    console_log:
      description: File that holds what the serial console said since the start, or an empty text.
      type: str
      returned: when the VM exists
    seed:
      description: The seed for cloud-init that M(imageops.fleet.vm) made, or an empty text.
      type: str
      returned: when the VM exists
    started:
      description: When the VM was started, in seconds since the epoch; 0 while it is stopped.
      type: float
      returned: when the VM exists
    restart_required:
      description: Whether the running VM still has an older definition.
      type: bool
      returned: when the VM exists
    disks:
      description: Disks of the VM.
      type: list
      elements: dict
      returned: when the VM exists
      contains:
        target:
          description: Name of the device.
          type: str
          sample: vda
        device:
          description: V(disk) or V(cdrom).
          type: str
        bus:
          description: Its bus.
          type: str
        path:
          description: The declared file.
          type: str
        active_path:
          description: The file that the VM writes to.
          type: str
        format:
          description: Format of the active file, as QEMU names it.
          type: str
        readonly:
          description: Whether the guest may only read.
          type: bool
        size:
          description: Bytes that the guest sees.
          type: int
          returned: with O(hypervisor=qmp)
        chain:
          description: All files of the disk's chain, the active one first.
          type: list
          elements: str
        chain_error:
          description: Why the chain can't be followed.
          type: str
          returned: when it can't be followed
        layers:
          description:
            - The chain with C(path), C(format), C(virtual_size) and C(allocated_size) in bytes, the active layer first; an
              C(error) for a file that can't be read.
          type: list
          elements: dict
        stray:
          description:
            - Overlays above the declared file that no snapshot names and that were not made for one, the active one first.
              M(imageops.fleet.vm_snapshot) adopts them (O(imageops.fleet.vm_snapshot#module:adopt)).
          type: list
          elements: str
        made_from:
          description: The image that the disk was made from by this collection, or an empty text.
          type: str
        image:
          description:
            - The image of a catalog that the disk was made from, as the records of the disk and of the files below it say, with C(reference),
              C(digest) and C(disk), its name in the image. Empty where none of them came from a catalog.
          type: dict
    networks:
      description:
        - Network interfaces with C(mac), C(network) or C(bridge), C(model), and the C(addresses) that libvirt's DHCP servers gave.
      type: list
      elements: dict
      returned: when the VM exists
    addresses:
      description: Addresses of the running VM, IPv4 first, without link-local ones.
      type: list
      elements: str
      returned: when the VM exists and O(addresses) is set
    changed:
      description: Always false.
      type: bool
      returned: always
    steps:
      description: Always empty, as nothing is done.
      type: list
      elements: str
      returned: success
    snapshots:
      description:
        - Snapshots, oldest first, with C(name), C(parent), C(current), C(state) of the VM, C(created) in seconds since the
          epoch, C(kind), C(memory), C(description), and C(children).
        - C(disks) names the layer that holds each disk of an external snapshot, C(files) what lies beside it (C(memory),
          C(nvram)).
      type: list
      elements: dict
      returned: when the VM exists
    block_jobs:
      description: Jobs on disks, each with C(target), C(type) such as V(commit), and the bytes C(done) of C(total).
      type: list
      elements: dict
      returned: when the VM exists
    unfinished:
      description: Work on snapshots that was interrupted; the next run of M(imageops.fleet.vm_snapshot) on this VM finishes it.
      type: list
      elements: str
      returned: when the VM exists
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.vm_spec import VM_INFO
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_info import OPERATION


def main() -> None:
    run_module(VM_INFO, OPERATION)


if __name__ == "__main__":
    main()
