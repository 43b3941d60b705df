#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module disk_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_info
short_description: Facts of disk images and whether they are safe to use
version_added: 0.1.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Reads the headers and tables of disk images in raw, qcow2, VMDK, VHD, VHDX and VDI format, and of every file below them in
    their backing chain, and tells what they are and what speaks against using them.
  - No engine is started and no image is written. The collection's own parser reads the file, with a limit on every number, so
    a hostile image can neither name another file to read nor exhaust the host.
  - An image is safe when no finding of it or of a file below it has the severity V(unsafe) or V(error).
  - A backing file is by itself a finding, unless O(backing) names it or the collection's own record on the overlay does.
  - Tables are checked for references past the end of the file. Of tables larger than 32 MiB (a full qcow2 image of 256 GiB with
    default clusters) the rest is not read, which is said by the finding C(tables-unchecked).
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.query
attributes:
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: N/A
options:
  path:
    description: Absolute path of one image, a regular file or a block device.
    type: path
  paths:
    description: Absolute paths of many images. The other options hold for each of them.
    type: list
    elements: path
  format:
    description:
      - What the caller says the image is. A contradiction with its content is an error; V(raw) is contradicted by the signature
        of any other format.
      - By default the one signature in the file decides, and a file without any is raw.
      - V(vpc) is QEMU's name of V(vhd), which is the name in results.
    type: str
    choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi]
  backing:
    description: Paths of the files that the backing chain may use.
    type: list
    elements: path
  require_safe:
    description: Fail, with the findings, when an image is not safe.
    type: bool
    default: false
seealso:
  - module: imageops.fleet.disk_convert
"""

EXAMPLES = r"""
- name: What is this file?
  imageops.fleet.disk_info:
    path: /srv/incoming/appliance.vmdk
  register: appliance

- name: Refuse an upload that is not a harmless qcow2 image
  imageops.fleet.disk_info:
    path: /srv/incoming/upload.img
    format: qcow2
    require_safe: true

- name: Check overlays whose common base is known
  imageops.fleet.disk_info:
    paths:
      - /var/lib/libvirt/images/web-1.qcow2
      - /var/lib/libvirt/images/web-2.qcow2
    format: qcow2
    backing:
      - /var/lib/libvirt/images/debian-12.qcow2
    require_safe: true
"""

RETURN = r"""
disks:
  description: One entry per image, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    path:
      description: Absolute path of the image.
      type: str
      returned: always
    format:
      description: Its format; a format that the collection does not handle is named as well.
      type: str
      returned: when the image could be read
    variant:
      description: Subformat or version, for example V(v3), V(streamOptimized), V(fixed), V(dynamic); null for raw images.
      type: str
      returned: success
    virtual_size:
      description: Size of the disk that a guest sees, in bytes, computed as QEMU does.
      type: int
      returned: when the image could be read
    file_size:
      description: Length of the file.
      type: int
      returned: success
    allocated_size:
      description: Bytes that the file takes on its file system.
      type: int
      returned: success
    cluster_size:
      description: Size of a cluster, grain or block in bytes; null for raw images.
      type: int
      returned: success
    backing:
      description: The file below, as C(path) and recorded C(format); null without one.
      type: dict
      returned: success
    chain:
      description: The image and all files below it, each as C(path) and C(format).
      type: list
      elements: dict
      returned: success
    data_file:
      description: Name of the external data file of a qcow2 image; null without one.
      type: str
      returned: success
    extents:
      description: Extents of a VMDK descriptor, each with C(access), C(size), C(kind), C(name) and C(offset).
      type: list
      elements: dict
      returned: success
    snapshots:
      description: Internal snapshots, each with C(id), C(name), C(vm_state_size), C(disk_size) and C(date) (seconds since 1970).
      type: list
      elements: dict
      returned: success
    bitmaps:
      description: Persistent dirty bitmaps, each with C(name), C(granularity), C(in_use) and C(enabled).
      type: list
      elements: dict
      returned: success
    encryption:
      description: Method of encryption; null without one.
      type: str
      returned: success
    compression:
      description: Method that compressed clusters use or would use; null where the format has none.
      type: str
      returned: success
    dirty:
      description: Whether the image was not closed by its last writer.
      type: bool
      returned: success
    corrupt:
      description: Whether the image is marked corrupt.
      type: bool
      returned: success
    header:
      description: Further details of the header, depending on the format.
      type: dict
      returned: success
    safe:
      description: Whether an engine may open the image and its chain.
      type: bool
      returned: when the image could be read
    findings:
      description:
        - What was found, each with C(path), C(rule), C(severity) (V(unsafe), V(error), V(warning) or V(info)) and C(message).
      type: list
      elements: dict
      returned: when the image could be read
    record:
      description: The collection's own record on the image, of what it was made from; null without a valid one.
      type: dict
      returned: success
    changed:
      description: Always false.
      type: bool
      returned: always
    steps:
      description: Always empty, as nothing is done.
      type: list
      elements: str
      returned: success
    failed:
      description: Whether this image was refused.
      type: bool
      returned: failure
    msg:
      description: Why this image was refused.
      type: str
      returned: failure
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.disk_info_spec import INFO
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_info import OPERATION


def main() -> None:
    run_module(INFO, OPERATION)


if __name__ == "__main__":
    main()
