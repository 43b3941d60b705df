#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module vm_capture."""

from __future__ import annotations

DOCUMENTATION = r"""
module: vm_capture
short_description: Make an image of a VM or of another machine's disk
version_added: 0.5.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Takes a disk of a stopped or running VM, or of another machine over SSH, removes the identity and the traces of the machine on a copy or a
    layer, does further steps there, and writes an image, compressed and whole. The source stays as it is.
  - At every moment the name shows the old image or the new one. The list of the guest's packages is written beside it as an SBOM (SPDX 2.3, JSON).
  - A source writes all the time. What was captured once with the same options isn't captured again, unless O(force) says so.
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.guest_work.captures
  - imageops.fleet.job
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    details: With O(force) each run captures.
    support: partial
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - For V(guestfs) C(guestfish) on the host (Debian's package C(guestfish)) and a kernel that the host can read (C(linux-image-cloud-amd64))
  - For V(chroot) root, C(unshare), C(blkid) and loop devices
  - For O(vm) the Python library C(libvirt) (C(python3-libvirt)), for running ones also C(nbd) (C(python3-libnbd))
  - For O(ssh) C(ssh) (C(openssh-client)), and C(dd) and C(blockdev) on the machine
notes:
  - UEFI variables and the description of a VM are no part of a disk. M(imageops.fleet.image_publish) keeps them with its option C(vm), but generalises
    nothing.
seealso:
  - module: imageops.fleet.image_build
  - module: imageops.fleet.image_publish
  - module: imageops.fleet.vm_clone
"""

EXAMPLES = r"""
- name: An image of a VM that was set up by hand, while it runs
  imageops.fleet.vm_capture:
    path: /srv/golden/web.qcow2
    vm: web1
    quiesce: true

- name: Of a machine that boots a rescue system
  imageops.fleet.vm_capture:
    path: /srv/golden/old-server.qcow2
    ssh:
      host: 192.0.2.7
      user: root
      known_hosts: /root/.ssh/known_hosts
      disk: /dev/sda
    steps:
      - packages: [qemu-guest-agent]

- name: Of several VMs, anew each time
  imageops.fleet.vm_capture:
    force: true
    captures:
      - path: /srv/golden/web.qcow2
        vm: web1
      - path: /srv/golden/database.qcow2
        vm: database1
        disk: vdb
"""

RETURN = r"""
captures:
  description: One entry per image, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path of the image, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    format:
      description: Its format.
      type: str
      returned: success
    virtual_size:
      description: Its virtual size in bytes; C((known after apply)) in check mode where it would be made.
      type: raw
      returned: success
    allocated_size:
      description: Bytes that it takes on disk; C((known after apply)) in check mode where it would be made.
      type: raw
      returned: success
    recipe:
      description: Digest of the source's name, the steps and all options that make the image what it is, but for secrets.
      type: str
      returned: success
    base:
      description: What it was made from, with C(kind), and C(vm), C(host) and C(disk).
      type: dict
      returned: success
    engine:
      description: What opened the guest's file systems; C((known after apply)) in check mode where it would be made.
      type: str
      returned: success
    packages:
      description: How many packages the guest has; C((known after apply)) in check mode where it would be made.
      type: raw
      returned: success
    sbom:
      description: Path of the SBOM; C((known after apply)) in check mode where it would be made.
      type: str
      returned: success
    owner:
      description: Owner of the image.
      type: str
      returned: success
    group:
      description: Group of the image.
      type: str
      returned: success
    mode:
      description: Permissions of the image.
      type: str
      returned: success
    changed:
      description: Whether it was made, or would be.
      type: bool
      returned: always
    joined:
      description: Whether work that ran already was waited for.
      type: bool
      returned: when joined
    job:
      description:
        - The job that did it, with C(id), C(launcher), C(seconds), C(phases), one for each step, and C(changed).
        - C(engine) is what opened the guest's file systems, C(engine_reason) why it wasn't V(guestfs), C(growth) what grew, C(method) the engine
          that wrote the image.
      type: dict
      returned: when the image was made in this run
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
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.vm_capture_spec import VM_CAPTURE
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_capture import OPERATION


def main() -> None:
    run_module(VM_CAPTURE, OPERATION)


if __name__ == "__main__":
    main()
