#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_snapshot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_snapshot
short_description: Take, delete and revert snapshots of VMs
version_added: 0.1.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Takes snapshots of libvirt VMs, deletes them, and reverts VMs to them.
  - A snapshot holds all writable disks at one moment, with the memory when the VM runs. An internal one lies inside the
    VM's qcow2 disks. For an external one the disks go on in new overlays, and what they had stays untouched in the layers
    below. The module chooses the kind that can hold the VM whole, and says why.
  - Reverting to and deleting external snapshots is done on a path of our own, the same with every libvirt. A revert puts a
    new overlay on the layers of the snapshot. Deleting merges what it alone needed into the layer below while the VM runs on,
    and leaves every layer that another snapshot, another VM or an image rests on.
  - What an interrupted run left is finished or undone by the next run on that VM.
  - Read-only disks, such as a cloud-init seed, are left out of the snapshot and are no obstacle.
extends_documentation_fragment:
  - imageops.fleet.attributes
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - O(state=reverted) reverts at each run, unless the VM is stopped and neither its disks nor its definition were
        changed since it was brought to that snapshot.
requirements:
  - Python's C(libvirt) on the host (Debian's package C(python3-libvirt))
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - C(qemu.qmp) for Python on the host for O(hypervisor=qmp) (the role C(imageops.fleet.hypervisor) installs it)
notes:
  - A revert brings back the whole VM as libvirt keeps it in the snapshot, and that includes its definition. What was
    changed in the definition since (memory, disks, networks, ...) is lost by a revert. The module names those parts in
    a warning and returns them as RV(snapshots[].definition_changes), also in check mode.
  - A disk that was attached after the snapshot was taken is detached by a revert. Its file stays as it is.
  - An internal snapshot of a running VM is taken by QEMU while the guest stands still for as long as writing its memory
    takes. With an external one the guest runs on meanwhile, and stands still for a moment at the end.
  - Overlays are named C(VM-TARGET.SNAPSHOT.qcow2) and lie beside the layers that they rest on, as do the files with memory
    (C(.memory)) and with UEFI variables (C(.nvram)), all with mode 0600.
  - One VM has snapshots of one kind only. libvirt before 11.0 deletes the image that holds an internal snapshot together with
    an external one (its NEWS), so mixing them is refused.
  - libvirt 9.0 lets the children of a snapshot that it forgets name wrong layers. The module knows them and puts them right,
    also after an interruption. C(virsh snapshot-delete --metadata) does not.
  - Reverting internal snapshots is broken in libvirt 11.2 and 11.3 as published upstream. Some distributions have the
    fix, such as Debian 13. With these versions the module warns, tries, and after a failure makes sure that the VM is
    still defined.
options:
  snapshots:
    description:
      - Many snapshots in one task, with the same options as the single form, worked on in the order given.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Name of the snapshot.
          - New ones may hold letters, digits and C(_.:+@-), at most 128 characters. A name of digits only is refused,
            because QEMU could take it for the internal number of another snapshot.
        type: str
        required: true
      vm: &vm
        description: Name of the VM. With O(hypervisor=qmp) it may be left out.
        type: str
      vms: &vms
        description:
          - Names of VMs, each of which gets an item of its own; a pattern such as V(web*) or V(*) names all VMs of the host
            that match. They are worked on four at a time.
          - Give one of O(vm) and O(vms).
        type: list
        elements: str
      state: &state
        description:
          - V(present) takes the snapshot unless there is one of that name.
          - V(absent) deletes it.
          - V(reverted) brings disks, definition and memory of the VM back to it. The VM then is as it was when the
            snapshot was taken, running, paused or stopped.
        type: str
        choices: [present, absent, reverted]
      description: &description
        description: A text that is kept with a new snapshot.
        type: str
      kind: &kind
        description:
          - V(internal) or V(external). With V(auto) it is internal where that can hold the VM whole, else external. That is so
            with a disk that isn't qcow2, with UEFI, with a TPM, for a running VM without its memory, with O(quiesce), and when
            the VM has external snapshots. The result's RV(snapshots[].reason) tells it.
          - A kind that can't hold the VM is refused before anything is touched.
        type: str
        choices: [auto, internal, external]
      memory: &memory
        description:
          - Whether the snapshot holds the memory of the VM. By default it does when the VM runs or is paused and O(quiesce) is
            not wanted, and not when it is stopped.
          - V(true) is refused for a stopped VM, which has none. Without the memory of a running VM the disks are as after a
            power cut.
        type: bool
      quiesce: &quiesce
        description:
          - Whether the file systems of a running guest are frozen by its agent while a snapshot of its disks alone is taken.
          - The guest is thawed after O(quiesce_timeout) at the latest, even when the module is killed.
        type: bool
      quiesce_timeout: &quiesce_timeout
        description: Most seconds for which the guest stays frozen; a snapshot that takes longer is undone and fails.
        type: int
      adopt: &adopt
        description:
          - With O(state=present), no new snapshot is taken. What the disks had below stray overlays becomes the snapshot O(name),
            which can be reverted to; deleting it merges the overlays.
          - Stray overlays are layers above the declared disk of a VM made by M(imageops.fleet.vm) that no snapshot names, such as
            a backup leaves that broke off. M(imageops.fleet.vm_info) tells of them. Without any, nothing is changed.
        type: bool
      keep: &keep
        description:
          - With O(state=absent), O(name) is a pattern such as V(nightly-*), and all matching snapshots of the VM are deleted but
            this many of the newest.
          - With O(older_than) too, only those that are older than that.
        type: int
      older_than: &older_than
        description:
          - With O(state=absent), O(name) is a pattern such as V(nightly-*), and the matching snapshots that are older than this
            are deleted. An age is a number with V(s), V(m), V(h), V(d) or V(w), such as V(7d).
        type: str
      start: &start
        description: Whether O(state=reverted) starts the VM when the snapshot holds no memory.
        type: bool
      remove_children: &remove_children
        description:
          - Whether O(state=absent) also deletes all snapshots below this one.
          - Without it they stay, whole, and become children of its parent.
        type: bool
      timeout: &timeout
        description:
          - Seconds to wait for libvirt to take or revert one snapshot, or to merge one layer, up to a year; V(0) waits as long as it takes.
          - The task fails after that, and libvirt goes on with what it began. Run the task again later.
        type: int
      hypervisor: &hypervisor
        description:
          - V(libvirt), or V(qmp) for a QEMU process that was started without libvirt and has a QMP socket, O(socket).
          - What V(qmp) can't do is refused with the way out. The guide's section "Without libvirt" has the table.
        type: str
        choices: [libvirt, qmp]
        version_added: 0.3.0
      socket: &socket
        description:
          - With O(hypervisor=qmp), the path of the process' QMP socket on the host, as in its option
            C(-qmp unix:PATH,server=on,wait=off). It must be root's or the task's user's own.
          - QEMU serves one client at a time. Another one that stays connected makes the task fail.
        type: path
        version_added: 0.3.0
      uri: &uri
        description: The local libvirt connection. URIs with a host part are refused, since disks of this host are
          looked at.
        type: str
  name:
    description:
      - Name of the snapshot.
      - New ones may hold letters, digits and C(_.:+@-), at most 128 characters. A name of digits only is refused,
        because QEMU could take it for the internal number of another snapshot.
    type: str
  vm: *vm
  vms: *vms
  state:
    <<: *state
    default: present
  description: *description
  kind:
    <<: *kind
    default: auto
  memory: *memory
  quiesce:
    <<: *quiesce
    default: false
  quiesce_timeout:
    <<: *quiesce_timeout
    default: 10
  adopt:
    <<: *adopt
    default: false
  keep: *keep
  older_than: *older_than
  start:
    <<: *start
    default: false
  remove_children:
    <<: *remove_children
    default: false
  timeout:
    <<: *timeout
    default: 600
  hypervisor:
    <<: *hypervisor
    default: libvirt
  socket: *socket
  uri:
    <<: *uri
    default: qemu:///system
seealso:
  - module: imageops.fleet.vm
  - module: imageops.fleet.vm_clone
"""

EXAMPLES = r"""
- name: Keep the VM as it is before an upgrade, with its memory when it runs
  imageops.fleet.vm_snapshot:
    vm: web1
    name: before-upgrade
    description: Debian 12, all packages of November

- name: Go back to it
  imageops.fleet.vm_snapshot:
    vm: web1
    name: before-upgrade
    state: reverted

- name: Several VMs in one task
  imageops.fleet.vm_snapshot:
    snapshots:
      - vm: web1
        name: clean
      - vm: web2
        name: clean

- name: The disks of all VMs of the host, with frozen file systems
  imageops.fleet.vm_snapshot:
    vms: ["*"]
    name: nightly-2026-11-20
    quiesce: true

- name: The seven newest of these stay
  imageops.fleet.vm_snapshot:
    vms: ["*"]
    name: nightly-*
    state: absent
    keep: 7

- name: Overlays that a broken backup left are merged
  imageops.fleet.vm_snapshot:
    vm: web1
    snapshots:
      - {name: stray, adopt: true}
      - {name: stray, state: absent}

- name: Delete a snapshot and all below it
  imageops.fleet.vm_snapshot:
    vm: web1
    name: before-upgrade
    state: absent
    remove_children: true
"""

RETURN = r"""
snapshots:
  description: One entry per item, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    vm:
      description: Name of the VM.
      type: str
      returned: success
    name:
      description: Name of the snapshot.
      type: str
      returned: always
    state:
      description: Whether there is such a snapshot now, V(present) or V(absent).
      type: str
      returned: success
    vm_state:
      description: What the VM does now, such as V(running), V(paused) or V(stopped).
      type: str
      returned: success
    kind:
      description: V(internal) or V(external).
      type: str
      returned: when the snapshot is there
    memory:
      description: Whether it holds the VM's memory.
      type: bool
      returned: when the snapshot is there
    current:
      description: Whether the VM goes on from this snapshot; the next one becomes its child.
      type: bool
      returned: when the snapshot is there, with O(hypervisor=libvirt)
    parent:
      description: Name of the snapshot above, or an empty string.
      type: str
      returned: when the snapshot is there, with O(hypervisor=libvirt)
    children:
      description: Names of the snapshots right below.
      type: list
      elements: str
      returned: when the snapshot is there, with O(hypervisor=libvirt)
    description:
      description: The text kept with it.
      type: str
      returned: when the snapshot is there, with O(hypervisor=libvirt)
    created:
      description: When it was taken, in seconds since the epoch; C((known after apply)) in check mode when it would be
        taken.
      type: raw
      returned: when the snapshot is there, with O(hypervisor=libvirt), or an internal one with V(qmp)
    reason:
      description: Why it is of that kind.
      type: str
      returned: when a snapshot is taken, or would be
    engine_seconds:
      description:
        - How long the hypervisor's own act took. Writes of the guest wait at most that long; with memory the guest stands still meanwhile,
          unless the snapshot is an external one of a running VM. C((known after apply)) in check mode.
      type: raw
      returned: when a snapshot is taken, or would be
    frozen_seconds:
      description: For how long the guest's file systems were frozen, from the order to freeze to the end of the thaw.
      type: float
      returned: when O(quiesce) froze them
    layers:
      description: What deleting does to the layers, in order.
      type: list
      elements: str
      returned: when an external snapshot is deleted
    definition_changes:
      description: Parts of the VM's definition that a revert brings back to what they were, such as V(memory) or V(disk
        vdb).
      type: list
      elements: str
      returned: when a revert changes the definition
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.snapshot_spec import SNAPSHOT
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_snapshot import OPERATION


def main() -> None:
    run_module(SNAPSHOT, OPERATION)


if __name__ == "__main__":
    main()
