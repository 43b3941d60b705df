#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module disk."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk
short_description: Create, resize and remove disk images
version_added: 0.1.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Creates empty disk images and overlays in the formats raw, qcow2, VMDK, VHD, VHDX and VDI with C(qemu-img), grows
    them, shrinks them only when told to, and removes them only when nothing uses them.
  - A new image is written under a hidden name beside O(path), read back, given a record of how it was made and then
    renamed. O(path) never names half an image. What an interrupted run left is removed by the next one.
  - The format of an image that exists is found by the collection's own header parser, never by QEMU's probing. An
    image that contradicts what is declared (format, options, backing file) is an error that names both. It is never
    made anew.
  - An image is in use when it is anywhere in the chain or the snapshots of a libvirt domain, when another image in
    its folder, in the folders of libvirt's pools or in O(search_paths) has it as backing file, or when a running
    process holds QEMU's image locks on it. On hosts with libvirt, removing and resizing need the Python library
    C(libvirt).
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - C(libvirt) for Python on hosts that have libvirt (Debian's package C(python3-libvirt)), to resize or remove
options:
  disks:
    description:
      - Many images in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name. An item may use as
        O(disks[].backing.path) what an earlier item makes.
    type: list
    elements: dict
    suboptions:
      path:
        description: Absolute path of the image. Its folder must exist.
        type: path
        required: true
      state: &state
        description:
          - V(present) makes sure that the image exists with the declared format, options and size.
          - V(absent) makes sure that it doesn't exist. An image in use is not removed.
        type: str
        choices: [present, absent]
      format: &format
        description: Format of the image. V(vpc) is QEMU's name of V(vhd). It has no meaning with O(state=absent).
        type: str
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
      size: &size
        description:
          - Virtual size, in bytes or with a unit such as V(20GiB) or V(512M). Units are powers of 1024.
          - Required to create an image without O(backing). With O(backing) it is by default that of the backing file.
          - An existing raw or qcow2 image that is smaller grows. One that is larger is an error, unless
            O(allow_shrink). The other formats can't be resized by QEMU.
        type: str
      options: &options
        description:
          - Options of the format. Unknown ones and values out of range are refused, and so are options that an
            existing image has otherwise.
          - "raw: C(preallocation) (V(off), V(falloc), V(full))."
          - "qcow2: C(cluster_size) (V(512) to V(2M), a power of two; default 64K), C(compression_type) (V(zlib),
            V(zstd)), C(compat) (V(0.10), V(1.1)), C(lazy_refcounts) (boolean), C(preallocation) (V(off), V(metadata),
            V(falloc), V(full)), C(refcount_bits) (V(1) to V(64), a power of two; default 16), C(extended_l2)
            (boolean)."
          - "vmdk: C(subformat) (V(monolithicSparse)), C(adapter_type) (V(ide), V(lsilogic), V(buslogic),
            V(legacyESX)), C(hwversion) (V(3) to V(22); default 4), C(compat6) (boolean, hardware version 6),
            C(toolsversion) (a whole number), C(zeroed_grain) (boolean). V(streamOptimized) images and variants that
            consist of several files are made by M(imageops.fleet.disk_convert)."
          - "vhd: C(subformat) (V(dynamic), V(fixed)), C(size_rule) (V(exact), the default; V(mib) rounds the size up
            to whole MiB as Azure and Hyper-V want it; V(chs) rounds up as QEMU's geometry does)."
          - "vhdx: C(subformat) (V(dynamic), V(fixed)), C(block_size) (V(1M) to V(256M), a power of two, or V(0) to
            let QEMU choose), C(log_size) (whole MiB), C(block_state_zero) (boolean, default true)."
          - "vdi: C(static) (boolean)."
          - C(preallocation) says how an image is made. It is not in the image's header, so it is compared only for
            images that this module made.
        type: dict
      backing: &backing
        description:
          - The image below, which makes this one an overlay. Only for O(format=qcow2).
          - It is inspected as any image is. Nothing may write to it.
        type: dict
        suboptions:
          path:
            description: Absolute path of the backing file.
            type: path
            required: true
          format:
            description:
              - Format of the backing file.
              - It may be left out when the collection's own record on the file tells it, or when the file carries the
                signature of a format. A raw file has none.
            type: str
            choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
          chain:
            description:
              - Absolute paths of the files that the backing file's own chain may use. Needed only where the
                collection's records don't name them.
            type: list
            elements: path
      allow_shrink: &allow_shrink
        description:
          - Allows a O(size) below the present one. What lies behind is lost, so make partitions and file systems
            smaller first.
          - For a new overlay it allows a O(size) below that of the backing file.
        type: bool
      force: &force
        description:
          - With O(state=absent), remove the image even when overlays are found that can't be read without it.
          - It never removes an image that a domain or a running process uses.
        type: bool
      search_paths: &search_paths
        description: More folders whose images may be overlays of this one. Folders below them are not searched. Each must exist.
        type: list
        elements: path
      owner: &owner
        description:
          - Owner of the file, a name or a number. By default who runs the module.
          - Owner, group and mode are given to new images, and to existing ones that are in no domain's chain. libvirt
            changes them when it starts a domain, so elsewhere a difference is only a warning.
        type: str
      group: &group
        description: Group of the file, a name or a number.
        type: str
      mode: &mode
        description: Permissions of the file as octal text. New images get V(0640) by default.
        type: raw
  path:
    description: Absolute path of the image. Its folder must exist.
    type: path
  state:
    <<: *state
    default: present
  format:
    <<: *format
    default: qcow2
  size: *size
  options: *options
  backing: *backing
  allow_shrink:
    <<: *allow_shrink
    default: false
  force:
    <<: *force
    default: false
  search_paths: *search_paths
  owner: *owner
  group: *group
  mode: *mode
  lock_timeout:
    description: Seconds to wait for another task that works on one of the images.
    type: int
    default: 60
seealso:
  - module: imageops.fleet.disk_info
  - module: imageops.fleet.disk_convert
"""

EXAMPLES = r"""
- name: An empty qcow2 disk of 20 GiB
  imageops.fleet.disk:
    path: /var/lib/libvirt/images/data.qcow2
    size: 20GiB

- name: The same disk grows; a second run changes nothing
  imageops.fleet.disk:
    path: /var/lib/libvirt/images/data.qcow2
    size: 40GiB

- name: A preallocated raw disk for a database
  imageops.fleet.disk:
    path: /var/lib/libvirt/images/database.raw
    format: raw
    size: 2GiB
    options:
      preallocation: falloc
    mode: "0600"

- name: A base image and two overlays on it in one task
  imageops.fleet.disk:
    disks:
      - path: /var/lib/libvirt/images/base.qcow2
        size: 10GiB
        options:
          cluster_size: 128K
      - path: /var/lib/libvirt/images/web1.qcow2
        backing:
          path: /var/lib/libvirt/images/base.qcow2
      - path: /var/lib/libvirt/images/web2.qcow2
        size: 30GiB
        backing:
          path: /var/lib/libvirt/images/base.qcow2

- name: An empty fixed VHD as Azure wants it
  imageops.fleet.disk:
    path: /srv/export/data.vhd
    format: vhd
    size: 30GiB
    options:
      subformat: fixed
      size_rule: mib

- name: Overlays and base are gone, in this order
  imageops.fleet.disk:
    state: absent
    disks:
      - path: /var/lib/libvirt/images/web1.qcow2
      - path: /var/lib/libvirt/images/web2.qcow2
      - path: /var/lib/libvirt/images/base.qcow2
"""

RETURN = r"""
disks:
  description: One entry per image, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: The image's path, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    state:
      description: Whether the image exists.
      type: str
      returned: success
      sample: present
    format:
      description: Its format; VHD images are always called V(vhd).
      type: str
      returned: when the image exists
      sample: qcow2
    virtual_size:
      description: Size of the disk that a guest sees, in bytes.
      type: int
      returned: when the image exists
      sample: 21474836480
    allocated_size:
      description:
        - Bytes that the file takes on the host; C((known after apply)) in check mode when it would be made or
          resized.
      type: raw
      returned: when the image exists
      sample: 200704
    options:
      description:
        - The format's options as the image's header tells them, and C(preallocation) where the image's record tells
          it.
      type: dict
      returned: when the image exists
      sample:
        cluster_size: 65536
        compat: "1.1"
        compression_type: zlib
        extended_l2: false
        lazy_refcounts: false
        preallocation: "off"
        refcount_bits: 16
    backing:
      description: The backing file, with C(path) and C(format), or nothing.
      type: dict
      returned: when the image exists
    owner:
      description: Owner of the file.
      type: str
      returned: when the image exists
      sample: root
    group:
      description: Group of the file.
      type: str
      returned: when the image exists
      sample: root
    mode:
      description: Permissions of the file.
      type: str
      returned: when the image exists
      sample: "0640"
    changed:
      description: Whether this image was changed, or would be.
      type: bool
      returned: always
    steps:
      description: What was done, or would be.
      type: list
      elements: str
      returned: success
      sample:
        - create /var/lib/libvirt/images/data.qcow2 (qcow2, 20 GiB)
    users:
      description: Who uses the image, with C(kind) (V(domain), V(overlay), V(image) for one that keeps its data in it, or V(engine)) and C(name).
      type: list
      elements: dict
      returned: when the image was not changed because it is in use
    failed:
      description: Whether this item failed.
      type: bool
      returned: failure
    msg:
      description: Why this item failed.
      type: str
      returned: failure
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.disk_spec import DISK
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk import OPERATION


def main() -> None:
    run_module(DISK, OPERATION)


if __name__ == "__main__":
    main()
