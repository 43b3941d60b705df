#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_import."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_import
short_description: Import OVA, OVF packages, Vagrant boxes and bare disks
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Brings the disks of what other platforms export into a folder, as qcow2 or raw, and tells what machine they belong to. RV(imports[].vm) has
    the options by which M(imageops.fleet.vm) makes it.
  - Takes an OVA (OVF 1 or 2), the folder or the descriptor of an OVF package, a Vagrant box for libvirt, an image of Incus, and a bare disk of
    any format, each also compressed (gz, bz2, xz, zst); and a package or one disk in the first folder of an ISO file system. What it is, its
    first bytes tell.
  - An archive is never unpacked. Disks of an OVA, and on an ISO file system, are read where they are in it. Of a compressed archive, which is
    read once as a stream, only the disks are stored, and one that is in the wanted format already only gets its name.
  - "Strangers' packages are refused unless they are sound: members with climbing paths or of another kind than plain files, names that are there twice,
    document types, sizes that lie, references to what isn't in the package, disks that name other files, and manifests that don't match."
  - A manifest is checked where there is one, and so is its signature. Who signed is only proven with O(trusted_certificates).
  - The import is written under a hidden name beside O(dest), flushed, given a record of what it was made from, and gets its name at once.
  - A second run changes nothing as long as source and options are what the record says, also when a VM has written to the disks since.
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
requirements:
  - C(qemu-nbd) (in C(qemu-utils)) and libnbd's Python library C(nbd) (C(python3-libnbd)) on the host, but not for raw disks
  - For zst the Python library C(zstandard) (C(python3-zstandard))
  - For signatures the program C(openssl)
  - For O(drivers) the programs C(virt-v2v), C(nbdkit) and C(nbdcopy) (Debian's packages C(virt-v2v), C(nbdkit) and
    C(libnbd-bin), with a kernel for libguestfs such as C(linux-image-cloud-amd64))
options:
  imports:
    description:
      - Many imports in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      dest:
        description: Absolute path of the folder to make, which holds the disks and nothing else. The folder above it must exist.
        type: path
        required: true
      src: &src
        description:
          - Absolute path of the package or the disk, a file, or a folder with one descriptor (C(.ovf)). Required.
          - One that is called C(.ova), C(.box) or C(.tar) and is no sound tar is refused.
        type: path
      src_format: &src_format
        description: Format of a bare disk. By default the one that its header shows; a file without any known signature is raw.
        type: str
        choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi, qed]
      name: &name
        description: The machine's name, of which the names of files are made too. By default the one in the package, else that of the source.
        type: str
      format: &format
        description: Format of the disks that are made.
        type: str
        choices: [qcow2, raw]
      bus: &bus
        description:
          - How RV(imports[].vm) attaches the disks. By default as they were for V(virtio) and V(sata), else V(sata), for which every system has
            a driver. V(virtio) is faster, and the guest must have its drivers.
          - It may be another one in a later run, which changes nothing.
        type: str
        choices: [virtio, scsi, sata, ide]
      network: &network
        description: Network of this host to which RV(imports[].vm) connects all network cards. Without it they are left out.
        type: str
      drivers: &drivers
        description:
          - With V(virt-v2v) that program brings drivers for this host into the guest, after its disks were written, and before they get their names.
            RV(imports[].vm) then attaches disks as virt-v2v says.
          - The guest must be one that virt-v2v knows. It runs without a network, with libguestfs, and takes minutes, without KVM many.
        type: str
        choices: [virt-v2v]
      trusted_certificates: &trusted_certificates
        description:
          - Absolute path on the host of certificates (PEM). The package must be signed by one of them, or by one that they vouch for, whomever the
            host trusts besides. A compressed package is refused.
          - An import that was made without it is made anew, so that it is proven.
        type: path
      force: &force
        description: Replace an import of ours whose disks were written to since. Never one that a VM has, nor a folder with other files.
        type: bool
      bandwidth: &bandwidth
        description: Most bytes a second of disks that are written, as bytes or a size such as V(100M). By default there is no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the import. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes.
        type: int
      owner: &owner
        description: Owner of new disks, a name or a number. By default root, or who runs the task.
        type: str
      group: &group
        description: Group of new disks, a name or a number.
        type: str
      mode: &mode
        description: Permissions of new disks as octal text. By default V(0640).
        type: raw
  dest:
    description: Absolute path of the folder to make, as O(imports[].dest).
    type: path
  src: *src
  src_format: *src_format
  name: *name
  format:
    <<: *format
    default: qcow2
  bus: *bus
  network: *network
  drivers: *drivers
  trusted_certificates: *trusted_certificates
  force:
    <<: *force
    default: false
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
  owner: *owner
  group: *group
  mode: *mode
notes:
  - In check mode the descriptor of a package is read, and no disk. Of archives that are read as streams nothing is known before.
  - A guest of another platform may lack drivers for what this host gives it. O(drivers) is for such guests.
  - Owner, group and mode hold for new disks only, since libvirt changes them when a VM starts.
  - Disks in sparse members of a tar, as in images for Google Cloud, are refused.
seealso:
  - module: imageops.fleet.image_export
  - module: imageops.fleet.vm
"""

EXAMPLES = r"""
- name: An appliance becomes a VM of this host
  imageops.fleet.image_import:
    src: /srv/incoming/appliance.ova
    dest: /var/lib/libvirt/images/appliance
    network: default
  register: appliance

- name: The VM
  imageops.fleet.vm: "{{ appliance.imports[0].vm }}"

- name: A signed package, a box, and a compressed disk
  imageops.fleet.image_import:
    imports:
      - src: /srv/incoming/database.ova
        dest: /var/lib/libvirt/images/database
        trusted_certificates: /etc/ssl/vendor.pem
      - src: /srv/incoming/debian.box
        dest: /var/lib/libvirt/images/debian-box
        bus: virtio
      - src: /srv/incoming/router.raw.xz
        src_format: raw
        dest: /var/lib/libvirt/images/router
"""

RETURN = r"""
imports:
  description: One entry per import, in the order given. What only the import shows is C((known after apply)) in check mode.
  returned: always
  type: list
  elements: dict
  contains:
    dest:
      description: The folder, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    src:
      description: The source, with all symbolic links resolved; of an OVF package its descriptor, or the archive.
      type: str
      returned: success
    name:
      description: The machine's name.
      type: str
      returned: success
    disks:
      description: The disks, each with C(path), C(format), C(size) in bytes, and the C(bus) that RV(imports[].vm) has for it.
      type: raw
      returned: success
    machine:
      description: What machine the package tells of, with defaults for what it doesn't tell.
      type: raw
      returned: success
    vm:
      description: Options for M(imageops.fleet.vm), which make that machine with these disks.
      type: raw
      returned: success
    left_out:
      description: Sentences on what of the package is in neither.
      type: raw
      returned: success
    altered:
      description: Sentences on what RV(imports[].vm) has in another way.
      type: raw
      returned: success
    manifest:
      description: Whether a manifest proved every file.
      type: raw
      returned: for OVF packages
    signed:
      description: Whether the manifest's signature was there, and right.
      type: raw
      returned: for OVF packages
    owner:
      description: Owner of the first disk.
      type: str
      returned: success
    group:
      description: Group of the first disk.
      type: str
      returned: success
    mode:
      description: Permissions of the first disk.
      type: str
      returned: success
      sample: "0640"
    changed:
      description: Whether something was imported, or would be.
      type: bool
      returned: always
    joined:
      description: Whether an import that ran already was waited for.
      type: bool
      returned: when joined
    job:
      description: The job that made it, with C(id), C(launcher), C(seconds), C(bytes), C(rate) and C(phases).
      type: dict
      returned: when it was made in this run
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_import_spec import IMAGE_IMPORT
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_import import OPERATION


def main() -> None:
    run_module(IMAGE_IMPORT, OPERATION)


if __name__ == "__main__":
    main()
