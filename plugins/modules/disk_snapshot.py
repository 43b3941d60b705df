#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module disk_snapshot."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_snapshot
short_description: Internal snapshots of qcow2 images that no VM uses
version_added: 0.2.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Creates, deletes and reverts to snapshots that lie inside of a qcow2 image, and keeps their number down.
  - The image must not be in use. Of a running VM, or of one that libvirt keeps snapshots for, they are made with
    M(imageops.fleet.vm_snapshot); such images are refused. So is a revert under overlays, and under anything else that rests
    on the image.
  - An image whose tables are damaged is refused before anything is changed.
  - Whenever QEMU or the task is killed, guests see the old content or the new. Snapshots are created, deleted and reverted to
    in place, since QEMU switches the image in one write; what an interrupted one leaves are clusters that are counted too
    often, which the next run of the task gives back. A revert to a snapshot of another virtual size, or in an image with an
    L1 table of more than 4 KiB (256 GiB of disk with clusters of 64 KiB), is done on a copy that takes the image's place
    when it is whole; it is a reflink where the file system has them, else it needs the space.
  - The collection's record on the image stays true. It tells of an image that is as it was made while only snapshots come and
    go, and of one that was written to since after a revert.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.job
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - A snapshot that exists is left as it is, though the disk may have been written to since.
      - O(state=reverted) is an act. It changes nothing while the disk is as the snapshot left it, that is, nothing was written.
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
options:
  disks:
    description:
      - Many images in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
      - Each image can be in one item only; two changes of one image take two tasks.
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path of a qcow2 image, a regular file. Any other format is an error.
        type: path
        required: true
      name: &name
        description:
          - Name of the snapshot, 1 to 255 bytes that can be printed.
          - A new one must not be only digits, as QEMU takes those for ids.
        type: str
      state: &state
        description:
          - V(present) makes the snapshot unless there is one of that name.
          - V(absent) deletes every snapshot of that name.
          - V(reverted) gives the disk the content and the size that it had when the snapshot was made. What was written since is
            lost, unless another snapshot holds it. A name that isn't there, or is there twice, is an error.
        type: str
        choices: [present, absent, reverted]
      keep: &keep
        description:
          - With O(state=present), how many snapshots remain at most; the oldest beyond it are deleted after O(name) was made. The
            one that O(name) names always stays.
          - Without O(name), snapshots are only deleted; then V(0) is allowed too. By default none is deleted.
        type: int
      prefix: &prefix
        description: Only snapshots whose names begin so count for O(keep). By default all do, those with a VM's memory too.
        type: str
      backing: &backing
        description:
          - Absolute paths of the files that the image's backing chain may use. Without them an overlay is only accepted where the
            collection's own record on it names its backing file.
        type: list
        elements: path
      search_paths: &search_paths
        description: More folders whose images may be overlays of O(path), looked at before it is reverted. Each must exist.
        type: list
        elements: path
      bandwidth: &bandwidth
        description: Most bytes a second that are copied, where a copy is needed, as bytes or a size such as V(100M). By default no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the job. The task fails after that, the job goes on, and the next run waits for it.
          - V(0) waits as long as it takes.
        type: int
  path:
    description: Absolute path of a qcow2 image, a regular file. Any other format is an error.
    type: path
  name: *name
  state:
    <<: *state
    default: present
  keep: *keep
  prefix: *prefix
  backing: *backing
  search_paths: *search_paths
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
seealso:
  - module: imageops.fleet.vm_snapshot
  - module: imageops.fleet.disk_check
  - module: imageops.fleet.disk_info
"""

EXAMPLES = r"""
- name: A point to come back to before a golden image is worked on
  imageops.fleet.disk_snapshot:
    path: /var/lib/libvirt/images/golden.qcow2
    name: before-update

- name: Back to it
  imageops.fleet.disk_snapshot:
    path: /var/lib/libvirt/images/golden.qcow2
    name: before-update
    state: reverted

- name: A snapshot for each day, and seven of them at most
  imageops.fleet.disk_snapshot:
    name: "daily-{{ now(fmt='%Y-%m-%d') }}"
    keep: 7
    prefix: daily-
    disks:
      - path: /srv/templates/web.qcow2
      - path: /srv/templates/db.qcow2

- name: None of them any more
  imageops.fleet.disk_snapshot:
    path: /srv/templates/web.qcow2
    keep: 0
    prefix: daily-
"""

RETURN = r"""
disks:
  description: One entry per image, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Path of the image, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    virtual_size:
      description: Size of the disk in bytes, after the task.
      type: int
      returned: success
    current:
      description: The snapshot at which the disk stands, the newest where there are several; null when it was written to since.
      type: str
      returned: success
    snapshots:
      description:
        - The snapshots after the task, in the order in which they were made. Each has C(id), C(name), C(date) (seconds since
          1970), C(vm_state_size) and C(disk_size) in bytes.
        - Of one that would be made, C(id) and C(date) are C((known after apply)) in check mode.
      type: list
      elements: dict
      returned: success
    changed:
      description: Whether this image was changed, or would be.
      type: bool
      returned: always
    job:
      description:
        - The job that did it, with C(id), C(launcher), C(seconds), C(bytes), C(rate), C(phases) and C(method) (V(in place),
          V(reflink) or V(copy)).
      type: dict
      returned: when a job ran
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.disk_snapshot_spec import DISK_SNAPSHOT
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_snapshot import OPERATION


def main() -> None:
    run_module(DISK_SNAPSHOT, OPERATION)


if __name__ == "__main__":
    main()
