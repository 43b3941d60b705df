#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module disk_check."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_check
short_description: Check and repair disk images, compare them, compute checksums of what guests see
version_added: 0.2.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Tells what the collection's own parser and C(qemu-img check) find wrong with the tables of a disk image, and repairs qcow2 and
    QED images on request.
  - A hostile image is refused before any engine opens it, see M(imageops.fleet.disk_info); a damaged one is not. QEMU has no
    check for raw and VHD images, of which only the parser's findings are told.
  - A repair works on a copy, a reflink where the file system has them, which takes the image's name only when nothing is wrong
    with it any more. Until then, and when a repair fails or is interrupted, the image is as it was.
  - Compares the guest-visible content of two images, and computes its checksum, whatever their formats. Both don't depend on
    how the content is stored, so a copy in another format has the same checksum.
  - Content is read by a job, which shows progress and can be stopped. What was found is remembered and told again without
    reading while no file of the images was written to since.
  - One image may be asked about by several items, tasks and playbooks at once; each gets its own answer.
  - Images that a running VM or another engine writes to are refused.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
requirements:
  - C(qemu-img) and C(qemu-nbd) on the host (Debian's package C(qemu-utils))
  - For O(compare_to), and for O(checksum) of other formats than raw, libnbd's Python library C(nbd) on the host (Debian's package
    C(python3-libnbd))
options:
  disks:
    description:
      - Many images in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
      - An image that one item repairs can't be in another one; that takes two tasks.
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path of the image, a regular file or a block device. Only regular files are repaired.
        type: path
        required: true
      format: &format
        description:
          - What the caller says the image is. A contradiction with the image's own header is an error.
          - By default the header decides; a file without any known signature is raw. V(vpc) is QEMU's name of V(vhd).
        type: str
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi, qed]
      backing: &backing
        description:
          - Absolute paths of the files that the image's backing chain may use. Without them an overlay is only accepted where the
            collection's own record on it names its backing file.
        type: list
        elements: path
      repair: &repair
        description:
          - V(none) only reports.
          - V(leaks) gives back clusters that nothing refers to. Guests see no difference. A damaged image is left as it is.
          - V(all) also mends what is damaged. Guest data that only a broken entry referred to are lost, so the original is kept
            unless O(backup=false), and an image that others rest on is refused.
          - Formats other than qcow2 and QED can't be repaired; a damaged one is then an error.
          - Can't be combined with O(compare_to) and O(checksum).
        type: str
        choices: [none, leaks, all]
      backup: &backup
        description:
          - Whether a repair keeps the original beside the image, under its name with date and time, as C(backup_file) tells.
          - By default true with O(repair=all), false with O(repair=leaks). Not allowed with O(repair=none).
        type: bool
      fail_on: &fail_on
        description:
          - When the task fails for what is wrong with the image, after the repair if there is one.
          - V(errors) for damage, V(leaks) for leaked clusters too, V(never) only tells.
        type: str
        choices: [errors, leaks, never]
      compare_to: &compare_to
        description:
          - Absolute path of an image whose guest-visible content is compared with that of O(path). The result is told by
            C(compare.equal); it is no failure unless O(require_equal=true).
        type: path
      compare_format: &compare_format
        description: As O(format), of O(compare_to).
        type: str
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi, qed]
      compare_backing: &compare_backing
        description: As O(backing), of O(compare_to).
        type: list
        elements: path
      strict: &strict
        description:
          - Whether disks of different size differ. By default a larger one is equal when the rest of it is zeros, since formats
            round sizes up.
        type: bool
      require_equal: &require_equal
        description: Fail when the content differs from that of O(compare_to).
        type: bool
      checksum: &checksum
        description:
          - Compute this checksum of all bytes that a guest sees in O(path), from the first to the last, holes as zeros. For a raw
            file whose size is a multiple of 512 bytes it is what C(sha256sum) and its like say.
          - Zeros of holes are not read, but they are hashed, at 1 to 2 GB a second with V(sha256).
        type: str
        choices: [sha256, sha512, blake2b]
      expect: &expect
        description: Hexadecimal digits that O(checksum) must have; fail when it has others.
        type: str
      reread: &reread
        description: Read the content even where it is known from an earlier task and no file was written to since.
        type: bool
      search_paths: &search_paths
        description: More folders whose images may be overlays of O(path), looked at before a repair with O(repair=all). Each must exist.
        type: list
        elements: path
      bandwidth: &bandwidth
        description:
          - Most bytes a second that a checksum reads or a repair copies, as bytes or a size such as V(100M). A comparison has no limit.
          - By default there is no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the job. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes.
        type: int
  path:
    description: Absolute path of the image, a regular file or a block device. Only regular files are repaired.
    type: path
  format: *format
  backing: *backing
  repair:
    <<: *repair
    default: none
  backup: *backup
  fail_on:
    <<: *fail_on
    default: errors
  compare_to: *compare_to
  compare_format: *compare_format
  compare_backing: *compare_backing
  strict:
    <<: *strict
    default: false
  require_equal:
    <<: *require_equal
    default: false
  checksum: *checksum
  expect: *expect
  reread:
    <<: *reread
    default: false
  search_paths: *search_paths
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
seealso:
  - module: imageops.fleet.disk_info
  - module: imageops.fleet.disk_convert
  - module: imageops.fleet.disk_snapshot
"""

EXAMPLES = r"""
- name: Is this image sound?
  imageops.fleet.disk_check:
    path: /var/lib/libvirt/images/web.qcow2

- name: Give back leaked clusters
  imageops.fleet.disk_check:
    path: /var/lib/libvirt/images/web.qcow2
    repair: leaks

- name: Mend an image that was damaged, and keep the damaged one
  imageops.fleet.disk_check:
    path: /var/lib/libvirt/images/db.qcow2
    repair: all
  register: mended

- name: Nothing was lost on the way to another format
  imageops.fleet.disk_check:
    path: /srv/images/debian-12.raw
    compare_to: /srv/export/debian-12.vmdk
    require_equal: true

- name: The content is what was released, however it is stored
  imageops.fleet.disk_check:
    checksum: sha256
    expect: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
    disks:
      - path: /srv/export/debian-12.vmdk
      - path: /srv/export/debian-12.qcow2
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
      returned: when the image could be opened
    virtual_size:
      description: Size of the disk that a guest sees, in bytes.
      type: int
      returned: when the image could be opened
    healthy:
      description: Whether nothing was found wrong, leaked clusters included.
      type: bool
      returned: when the image could be opened
    findings:
      description: What the collection's parser found, each with C(rule), C(severity) and C(message).
      type: list
      elements: dict
      returned: when the image could be opened
    checkable:
      description: Whether QEMU has a check for this format. The numbers below are 0 when it has none.
      type: bool
      returned: when the image could be opened
    errors:
      description: Errors that kept QEMU from looking at everything.
      type: int
      returned: when the image could be opened
    corruptions:
      description: Damages that QEMU found.
      type: int
      returned: when the image could be opened
    leaks:
      description: Clusters that take space and that nothing refers to.
      type: int
      returned: when the image could be opened
    total_clusters:
      description: Clusters of the disk.
      type: int
      returned: when the image could be opened
    allocated_clusters:
      description: Clusters that take space.
      type: int
      returned: when the image could be opened
    fragmented_clusters:
      description: Allocated clusters that don't follow the one before them.
      type: int
      returned: when the image could be opened
    compressed_clusters:
      description: Clusters that are compressed.
      type: int
      returned: when the image could be opened
    image_end_offset:
      description: Bytes of the file that are in use.
      type: int
      returned: when the image could be opened
    messages:
      description: QEMU's own words, ten lines at most.
      type: list
      elements: str
      returned: when the image could be opened
    backup_file:
      description: Where a repair of this run kept the original; null when it kept none.
      type: str
      returned: when O(repair) is not V(none)
    compare:
      description:
        - C(equal), C(first_difference) (offset in bytes, null when equal), and C(path), C(format) and C(virtual_size) of the other image.
        - C(equal) and C(first_difference) are C((known after apply)) in check mode when the content has to be read for them.
      type: dict
      returned: when O(compare_to) is given
    checksum:
      description: The checksum; C((known after apply)) in check mode when the content has to be read for it.
      type: str
      returned: when O(checksum) is given
    checksum_algorithm:
      description: Its algorithm.
      type: str
      returned: when O(checksum) is given
    changed:
      description: Whether this image was repaired, or would be. Checks, comparisons and checksums change nothing.
      type: bool
      returned: always
    job:
      description:
        - The job that read or repaired the image, with C(id), C(launcher), C(seconds), C(bytes), C(rate) and C(phases); of a repair
          also C(method) (V(reflink) or V(copy)), C(corruptions_fixed) and C(leaks_fixed).
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.disk_check_spec import DISK_CHECK
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_check import OPERATION


def main() -> None:
    run_module(DISK_CHECK, OPERATION)


if __name__ == "__main__":
    main()
