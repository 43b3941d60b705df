#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_clone."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_clone
short_description: Clone stopped VMs
version_added: 0.1.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Makes full or linked clones of a stopped libvirt VM, several in one task.
  - Each clone has an identity of its own, that is name, UUID, the MAC of each network interface, UEFI variables
    (NVRAM), log and socket paths of its consoles, and a cloud-init seed with its own instance-id and host name where
    the source has one.
  - Every file is written under a hidden name, given a record of what it was made from, flushed to disk and then
    renamed. A run that was killed at any moment is finished by the next one.
  - A clone that is there already is never made again, whatever was written to it or to the source since.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
requirements:
  - Python's C(libvirt) on the host (Debian's package C(python3-libvirt))
  - Python's C(pycdlib) on the host when the source has a cloud-init seed (Debian's package C(python3-pycdlib))
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
notes:
  - Linked clones never rest on a file that the source may still write to. Where the source's disk is an overlay with at
    most 64 MiB of its own, each clone gets a copy of that layer over the same backing file, and the source stays as it
    is. Any other disk becomes a base that is shared read-only, and the source is redefined to go on in a new overlay of
    it, named C(<source>-<target>.<number>.qcow2). The result tells this as RV(clones[].shared). Such a base must stay
    where it is as long as the source or a clone of it exists.
  - Read-only disks other than the cloud-init seed are shared with the source.
  - Refused are running sources, host devices, TPMs, encrypted disks, disks that are not files, and disks shared between
    VMs.
  - Fixed ports of displays and fixed vsock addresses become automatic ones in the clone.
  - Inside the guest nothing is changed. Without cloud-init a Linux guest keeps its host name, machine-id and SSH host
    keys.
options:
  clones:
    description:
      - Many clones in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      name:
        description: Name of the clone.
        type: str
        required: true
      source: &source
        description: Name of the VM to clone. It must be stopped.
        type: str
      mode: &mode
        description:
          - V(full) copies all disks, without backing files. Blocks are shared instead (reflink) where the file system
            can.
          - V(linked) makes overlays, which takes a moment and nearly no space.
        type: str
        choices: [full, linked]
      state: &state
        description:
          - V(running) also starts the clone.
          - V(stopped) leaves a new clone stopped, and one that is there already as it is. Stop VMs with
            M(imageops.fleet.vm).
        type: str
        choices: [stopped, running]
      directory: &directory
        description:
          - Folder for the clone's disks and seed. By default each is made beside the source's.
          - Disks are named C(<name>-<target>.<format>), a seed C(<name>-seed.iso).
        type: path
      mac: &mac
        description: MACs for the network interfaces, in their order. Those left out are made up.
        type: list
        elements: str
      wait_for: &wait_for
        description: What to wait for after a clone was started; only with O(state=running).
        type: dict
        suboptions:
          running:
            description: Whether the VM must be running.
            type: bool
            default: true
          console:
            description: A regular expression that a line of the serial console's output since the start must match.
            type: str
          timeout:
            description: Seconds to wait. The error shows the console's last lines.
            type: int
            default: 120
      uri: &uri
        description: The local libvirt connection. URIs with a host part are refused, since disks of this host are
          copied.
        type: str
  name:
    description: Name of the clone.
    type: str
  source: *source
  mode:
    <<: *mode
    default: full
  state:
    <<: *state
    default: stopped
  directory: *directory
  mac: *mac
  wait_for: *wait_for
  uri:
    <<: *uri
    default: qemu:///system
seealso:
  - module: imageops.fleet.vm
  - module: imageops.fleet.vm_snapshot
"""

EXAMPLES = r"""
- name: A full copy of a VM, independent of it
  imageops.fleet.vm_clone:
    source: web
    name: web-staging

- name: Three linked clones that run, and one full copy
  imageops.fleet.vm_clone:
    source: template
    mode: linked
    state: running
    clones:
      - name: worker1
      - name: worker2
      - name: worker3
        mac:
          - "52:54:00:12:34:56"
      - name: archive
        mode: full
        state: stopped
        directory: /srv/archive
"""

RETURN = r"""
clones:
  description: One entry per clone, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    name:
      description: Name of the clone.
      type: str
      returned: always
    source:
      description: The VM it was cloned from.
      type: str
      returned: success
    mode:
      description: V(full) or V(linked).
      type: str
      returned: success
    state:
      description: What it does now, such as V(stopped) or V(running).
      type: str
      returned: success
    uuid:
      description: Its UUID; C((known after apply)) in check mode when it would be made.
      type: str
      returned: success
    macs:
      description: MACs of its network interfaces, in their order.
      type: list
      elements: str
      returned: success
    disks:
      description: Its own disks.
      type: list
      elements: dict
      returned: success
      contains:
        target:
          description: Name of the disk, such as V(vda).
          type: str
        path:
          description: Path of its file.
          type: str
        format:
          description: Format of the file.
          type: str
        backing:
          description: Path of the backing file, or an empty string.
          type: str
    waited:
      description: Seconds that were waited for it.
      type: float
      returned: when O(wait_for) is given
    console_match:
      description: The console's line that matched.
      type: str
      returned: when O(wait_for.console) is given
    seed:
      description: Path of its cloud-init seed, or an empty string.
      type: str
      returned: success
    shared:
      description: Disks of the source that became bases with this clone, each with C(target), C(base) and C(overlay).
      type: list
      elements: dict
      returned: when the clone was made
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.clone_spec import CLONE
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone import OPERATION


def main() -> None:
    run_module(CLONE, OPERATION)


if __name__ == "__main__":
    main()
