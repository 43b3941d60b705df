#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module disk_compact."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_compact
short_description: Let disk images give back the space that they don't need, and grow them
version_added: 0.2.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Writes a disk image anew without its zeros and leaks, compressed where that is wanted, and puts the new image in the place of
    the old one when it takes less space. An image never becomes larger, unless O(size) asks for a larger disk.
  - Space that the file systems of the guest don't use is discarded first, where libguestfs works on the host.
  - The old image stays until the new one is complete, our parser and C(qemu-img check) find nothing wrong with it, and its
    content was compared with what it was made from. At every moment the name shows the old image or the new one.
  - Format, creation options, backing file, owner, mode, attributes and the collection's record stay what they are.
  - The record remembers a compaction. A second run with the same options finds in it that nobody wrote to the image since, and
    reads no data.
  - An image that a VM or an engine uses, on which another image rests, or of whose VM libvirt keeps snapshots is refused.
    A stopped VM may have it as its disk.
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - The collection's own writer also uses C(qemu-nbd) (in C(qemu-utils)), libnbd's Python library C(nbd) (C(python3-libnbd)) and, to
    be faster, C(isal) (C(python3-isal)); without the first two, and for zstd without C(libzstd1), QEMU's writer is used, which
    RV(disks[].job) tells.
  - For O(discard) and O(grow_partition) C(virt-sparsify), C(virt-resize) and C(guestfish) (Debian's packages
    C(guestfs-tools) and C(guestfish)) and a kernel that the host can read (Debian's package C(linux-image-cloud-amd64))
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
        description: Absolute path of the image, a regular file.
        type: path
        required: true
      format: &format
        description:
          - Its format. By default the one that its header shows. A raw image needs V(raw) here, unless its record says so.
          - An image of another format than the declared one is refused.
        type: str
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
      backing: &backing
        description:
          - Absolute paths of the files that an overlay may rest on. What the collection's own records name may be used anyway.
          - An overlay stays an overlay on the same file.
        type: list
        elements: path
      compression: &compression
        description:
          - How the clusters of a qcow2 image are compressed. V(keep) compresses an image that has compressed clusters already as it
            was, and no other.
          - Both are written by the collection's own parallel writer where the image has no backing file. V(zstd) needs an image of
            version 1.1, and is refused for an older one.
          - Other formats are refused with anything but V(keep). A V(streamOptimized) VMDK is always compressed.
        type: str
        choices: [keep, zlib, zstd]
      discard: &discard
        description:
          - Whether the guest's file systems discard what they don't use, on a copy of the image and with libguestfs.
          - V(auto) does it where libguestfs works, and says in RV(disks[].job) why it didn't. V(always) refuses the task then.
            V(never) only looks for zeros.
          - libguestfs starts a small machine for it, which takes seconds with KVM and a minute without.
        type: str
        choices: [auto, always, never]
      size: &size
        description:
          - The least size of the disk that the guest sees, as bytes or a size such as V(20G). A smaller disk grows, a larger one is
            refused. By default the disk keeps its size.
          - Only raw and qcow2 images grow.
        type: str
      grow_partition: &grow_partition
        description:
          - The partition that takes the new room of O(size) together with its file system, V(last) (the last one on the
            disk, whatever its number) or its number from 1 on.
          - The last one on the disk grows where it is, with ext2, ext3, ext4, btrfs or XFS. For others C(virt-resize) moves what lies behind, which
            is refused where partitions aren't numbered in their order on the disk, since it would number them anew.
          - XFS itself grows where libguestfs has its programs (Debian's package C(libguestfs-xfs)), else its partition only. Of LVM the
            physical volume grows, and no logical volume. RV(disks[].job) says in C(growth) what grew.
          - Without libguestfs only the disk grows. The result says so. The partition then grows at the guest's next start, where
            cloud-init does that.
          - Refused for overlays, and without O(size).
        type: str
      guest_timeout: &guest_timeout
        description:
          - Seconds that each step of libguestfs may take, 1 or more. Whether its machine starts is tried for three minutes at most.
        type: int
      bandwidth: &bandwidth
        description: Most bytes a second that are written, as bytes or a size such as V(100M). By default there is no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the work. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes. Negative numbers are refused.
        type: int
      search_paths: &search_paths
        description: >-
          More folders whose images may rest on this one. The image's own folder and all storage pools are looked at anyway.
          Each must exist.
        type: list
        elements: path
  path:
    description: Absolute path of the image, a regular file.
    type: path
  format: *format
  backing: *backing
  compression:
    <<: *compression
    default: keep
  discard:
    <<: *discard
    default: auto
  size: *size
  grow_partition: *grow_partition
  guest_timeout:
    <<: *guest_timeout
    default: 1800
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
  search_paths: *search_paths
notes:
  - Check mode can't know whether there is space to be given back, and says V(changed) for every image that was not compacted with
    these options since it was written to.
  - Refused are images with internal snapshots or dirty bitmaps, encrypted ones, and those that keep data in other files.
seealso:
  - module: imageops.fleet.disk
  - module: imageops.fleet.disk_chain
  - module: imageops.fleet.disk_convert
"""

EXAMPLES = r"""
- name: Give back what the disk of web1 doesn't need
  imageops.fleet.disk_compact:
    path: /var/lib/libvirt/images/web1.qcow2

- name: Golden images as small as they get
  imageops.fleet.disk_compact:
    compression: zstd
    disks:
      - path: /srv/golden/debian-12.qcow2
      - path: /srv/golden/debian-13.qcow2

- name: An overlay that somebody else made, without looking at its file systems
  imageops.fleet.disk_compact:
    path: /var/lib/libvirt/images/web2.qcow2
    backing:
      - /srv/golden/debian-12.qcow2
    discard: never

- name: A disk of 40 GiB, and the room goes to the last partition
  imageops.fleet.disk_compact:
    path: /var/lib/libvirt/images/web3.qcow2
    size: 40G
    grow_partition: last
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
    format:
      description: Its format.
      type: str
      returned: success
    virtual_size:
      description: Its virtual size in bytes.
      type: int
      returned: success
    allocated_size:
      description: Bytes that it takes on disk; C((known after apply)) in check mode where it would be compacted.
      type: raw
      returned: success
    changed:
      description: Whether a new image took its place, or may.
      type: bool
      returned: always
    joined:
      description: Whether work that ran already was waited for.
      type: bool
      returned: when joined
    job:
      description:
        - The job that did it, with C(id), C(launcher), C(seconds), C(bytes) and C(rate) of the phase that moved most, C(phases), and
          C(changed).
        - C(before) and C(after) are the bytes that the image took on disk. C(kept) says why the old image stayed.
        - C(method) names the engine that wrote the new one, V(writer) or V(qemu-img); of a writer C(encoder) names the library that
          compressed.
        - C(discard) and C(growth) say what was done of it, or why it was not.
      type: dict
      returned: when the image was written anew in this run
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.disk_compact_spec import DISK_COMPACT
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_compact import OPERATION


def main() -> None:
    run_module(DISK_COMPACT, OPERATION)


if __name__ == "__main__":
    main()
