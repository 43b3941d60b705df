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
  - Reads the headers and tables of disk images in raw, qcow2, VMDK, VHD, VHDX, VDI, QED and LUKS format, and of every other
    file that they read (backing files, data files, extents), and tells what they are and what speaks against using them.
  - No engine is started and no image is written. The collection's own parser reads the file, with a limit on every number, so
    a hostile image can neither name another file to read nor exhaust the host.
  - An image is safe when no finding of it or of another file that it reads has the severity V(unsafe) or V(error).
  - Another file that the image reads is by itself a finding, unless O(backing) names it or the collection's own record on the
    overlay does.
  - Tables are checked for references past the end of the file. Of tables larger than 32 MiB (a full qcow2 image of 256 GiB with
    default clusters) evenly spaced ones are read; for the rest the refcounts of a qcow2 image speak. Where they can't, as in
    other formats, the finding C(tables-unchecked) says so.
  - A folder can be given in place of an image. It stands for every regular file in it; links in it are passed over, and so are
    the collection's own unfinished files.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.query
attributes:
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: N/A
options:
  path:
    description: Absolute path of one image, a regular file or a block device, or of a folder of images.
    type: path
  paths:
    description: Absolute paths of many images or folders. The other options hold for each of them.
    type: list
    elements: path
  recurse:
    description: Whether a folder stands for the files in the folders below it too.
    type: bool
    default: false
  limit:
    description:
      - The most files that one folder may stand for. One that holds more fails the task before any of its images is read.
      - A number below 1 is an error.
    type: int
    default: 10000
  format:
    description:
      - What the caller says the image is. A contradiction with its content is an error; V(raw) is contradicted by the signature
        of any other format.
      - By default the one signature in the file decides, and a file without any is raw.
      - V(vpc) is QEMU's name of V(vhd), which is the name in results.
    type: str
    choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi, qed, luks]
  backing:
    description: Absolute paths of all other files that the images may read, that is backing files, data files, extents and parents.
    type: list
    elements: path
  require_safe:
    description: Fail, with the findings, when an image is not safe.
    type: bool
    default: false
  only_unsafe:
    description:
      - List only the images that are not safe in RV(disks). All are looked at and counted in RV(summary).
      - What is not listed is not kept either, so that a store of any size takes little memory.
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

- name: Which files of a store are not safe?
  imageops.fleet.disk_info:
    path: /srv/images
    recurse: true
    only_unsafe: true
  register: store

- name: Say it
  ansible.builtin.debug:
    msg: "{{ store.summary.unsafe }} of {{ store.summary.images }}: {{ store.disks | map(attribute='path') }}"
"""

RETURN = r"""
summary:
  description: Counts of all images that were looked at, listed in RV(disks) or not. Images that are not there are not counted.
  returned: always
  type: dict
  contains:
    images:
      description: How many images were looked at.
      type: int
      returned: always
    safe:
      description: How many of them are safe.
      type: int
      returned: always
    unsafe:
      description: How many are not.
      type: int
      returned: always
    formats:
      description: How many have each format. Files of a folder that could not be read have none.
      type: dict
      returned: always
    rules:
      description: In how many images, with what lies below them, each rule was found; those of warnings as well.
      type: dict
      returned: always
disks:
  description:
    - One entry per image, in the order given, the files of a folder by path.
    - With O(only_unsafe) the images that are safe are left out.
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
      description: Subformat or version, for example V(v3), V(streamOptimized), V(fixed), V(dynamic); null for raw and QED images.
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
      description: The image, all files below it from the top down, then the data files and extents of these layers.
      type: list
      elements: dict
      returned: success
      contains:
        path:
          description: Path of the file as the one above names it.
          type: str
          returned: always
        real_path:
          description: The same without links.
          type: str
          returned: always
        role:
          description: What the file is to the image; V(image), V(backing), V(data-file) or V(extent).
          type: str
          returned: always
        format:
          description: Its format.
          type: str
          returned: always
        virtual_size:
          description: Size of its disk in bytes.
          type: int
          returned: always
        file_size:
          description: Length of the file.
          type: int
          returned: always
        allocated_size:
          description: Bytes that it takes on its file system.
          type: int
          returned: always
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
      description:
        - Internal snapshots, each with C(id), C(name), C(vm_state_size), C(disk_size), C(date) (seconds since 1970),
          C(vm_clock_ns) and C(icount) (instructions executed; null unless the machine was recorded).
      type: list
      elements: dict
      returned: success
    bitmaps:
      description:
        - Persistent dirty bitmaps, each with C(name), C(granularity), C(in_use) (it was not saved cleanly) and C(enabled) (it
          records writes as soon as a machine opens the disk).
      type: list
      elements: dict
      returned: success
    encryption:
      description: How the disk is encrypted; null when it is not.
      type: dict
      returned: success
      contains:
        type:
          description: V(luks) or V(aes), the old method of qcow2.
          type: str
          returned: always
        version:
          description: Version of LUKS.
          type: int
          returned: for LUKS
        cipher:
          description: Name of the cipher.
          type: str
          returned: when known
        mode:
          description: Mode of the cipher, for example V(xts-plain64).
          type: str
          returned: when known
        hash:
          description: Hash of the key derivation.
          type: str
          returned: for LUKS version 1
        key_bits:
          description: Length of the volume's key.
          type: int
          returned: for LUKS version 1
        key_slots:
          description: Numbers of the key slots in use.
          type: list
          elements: int
          returned: for LUKS
        payload_offset:
          description: Where the encrypted disk begins, in bytes from the LUKS header on.
          type: int
          returned: for LUKS
        uuid:
          description: UUID of the volume.
          type: str
          returned: for LUKS
    partition_table:
      description:
        - Partition table of a raw image; null without one, and for other formats.
      type: dict
      returned: success
      contains:
        type:
          description: V(gpt) or V(mbr).
          type: str
          returned: always
        sector_size:
          description: Size of the sectors that a GPT counts in.
          type: int
          returned: for GPT
        disk_id:
          description: GUID of the disk.
          type: str
          returned: for GPT
        primary:
          description: Whether the first header is V(valid) or V(damaged).
          type: str
          returned: for GPT
        backup:
          description: Whether the second header is V(valid), V(damaged) or V(not at the end), as on a disk that was made larger.
          type: str
          returned: for GPT
        partitions:
          description:
            - The partitions, each with C(number), C(start) and C(size) in bytes, C(type) (a number such as V(0x83), or a GUID)
              and C(name) (null for MBR). Logical partitions begin with number 5.
          type: list
          elements: dict
          returned: always
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
      description:
        - Further details of the header, depending on the format. For qcow2 C(l2_tables) counts the tables in C(total) and those
          that were C(read), and C(tables_checked) tells whether every reference is known to lie in the file.
        - For raw images C(iso) describes an ISO 9660 file system (C(volume_id), C(volume_size), C(joliet), C(el_torito), C(udf)),
          and C(content) says what the file is when it begins like an archive, a compressed file or a program.
      type: dict
      returned: success
    safe:
      description: Whether an engine may open the image and its chain.
      type: bool
      returned: when the image could be read
    findings:
      description:
        - What was found, each with C(path), C(rule), C(severity) (V(unsafe), V(error), V(warning) or V(info)), C(message), and
          C(file), which is the other file that the finding is about, as the image names it.
        - A file of a folder that can't be read, or is gone since the folder was listed, has the finding C(not-a-file) only. So has a
          folder below it that can't be read, which stands here for the files that nobody knows.
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
