#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_export."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_export
short_description: Export disks or a stopped VM for another platform
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Makes of disk images, or of a stopped VM with its configuration, what another platform demands, such as an OVA, a fixed VHD of whole MiB
    for Azure, or C(disk.raw) in a C(tar.gz) of GNU's format for Google Cloud. What each platform demands, and where that is written down,
    stands in the guide C(docs/portability.md).
  - Streams are made in one pass. Of an OVA each byte of a disk is read once, compressed by all processors, and goes straight to its place
    in the archive, while its checksum for the manifest is counted.
  - What of a VM's configuration can't be told to the platform is listed in the result (RV(exports[].left_out)), and so is what it gets in
    another way (RV(exports[].altered)).
  - The export is written under a hidden name beside O(dest), flushed, given a record of what it was made from, and renamed. O(dest) is at every
    moment the old export or the new one. A folder is exchanged for the old one at one moment.
  - A second run changes nothing as long as sources, options and O(dest) are what the record says, and reads no data. When a source has only
    another time, the export is made anew and compared, and O(dest) stays when the bytes are the same. Of V(hyperv), whose formats
    have random identities, and of V(incus), whose metadata tells the time, they never are.
  - Images are inspected first, and those that name files which weren't declared are refused.
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
requirements:
  - For sources of other formats than raw C(qemu-nbd) (in C(qemu-utils)) and libnbd's Python library C(nbd) (C(python3-libnbd))
  - For V(hyperv) C(qemu-img) (C(qemu-utils))
  - For O(vm) the Python library C(libvirt) (C(python3-libvirt))
  - For O(certificate) the program C(openssl)
  - Compression is faster with C(libdeflate) (C(libdeflate0)) and C(isal) (C(python3-isal))
options:
  exports:
    description:
      - Many exports in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      dest:
        description:
          - Absolute path of the export, a file or a folder as the preset says. The folder that holds it must exist.
          - A file's name must end as the platform wants it (see O(exports[].preset)). A folder holds the export and nothing else.
        type: path
        required: true
      preset: &preset
        description:
          - Which platform the export is for. Required.
          - V(ova), a file C(.ova) with an OVF 1.1 descriptor, streamOptimized VMDK disks and a manifest with SHA-256, for vSphere and all
            that read OVF.
          - V(vmware), a folder with the same files, for vSphere and Workstation.
          - V(virtualbox), a file C(.ova) with VirtualBox's words for hardware.
          - V(hyperv), one disk as C(.vhdx) or C(.vhd), both dynamic.
          - V(azure), one disk as C(.vhd), fixed, of whole MiB.
          - V(aws), one disk as C(.vmdk), streamOptimized, or C(.raw).
          - V(gcp), one disk as C(disk.raw) in a C(.tar.gz) of GNU tar's old format, of whole GiB.
          - V(openstack), a folder with one disk and a JSON file of its properties.
          - V(opennebula), a folder with disks, a template C(.image) of each, and a template C(.vm).
          - V(kubevirt), a C(.tar) (OCI archive) with a containerDisk of one disk.
          - V(proxmox), a folder with disks, and a file C(.conf) with the options of C(qm create), one a line.
          - V(vagrant), a C(.box) for the provider libvirt.
          - V(incus), a C(.tar.gz) with one disk, a unified image of a VM.
        type: str
        choices: [ova, vmware, virtualbox, hyperv, azure, aws, gcp, openstack, opennebula, kubevirt, proxmox, vagrant, incus]
      disks: &disks
        description: The disks, in files or on block devices. Nothing may write to them. Excludes O(exports[].vm).
        type: list
        elements: dict
        suboptions:
          path:
            description: Absolute path of the disk.
            type: path
            required: true
          format:
            description: Its format. By default the one that its header shows. A file without any known signature is raw.
            type: str
            choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi, qed]
          name:
            description: Its name in results and templates. By default V(vda), V(vdb) and so on, in the order given.
            type: str
          backing:
            description: Absolute paths of the files that an overlay may rest on. What the collection's own records name may be used anyway.
            type: list
            elements: path
      vm: &vm
        description:
          - Name of a stopped VM whose disks are exported, with its configuration where the platform has words for it. Excludes O(exports[].disks).
          - Read-only disks and the media of drives are left out. Disks that are shared, encrypted or on the network are refused.
          - A running VM is refused. M(imageops.fleet.image_publish) takes one.
        type: str
      uri: &uri
        description: libvirt's URI, of the host itself.
        type: str
      name: &name
        description: The machine's name in the export, of which names of files are made too. By default the VM's name, else that of O(exports[].dest).
        type: str
      machine: &machine
        description: What machine the disks belong to. Of a VM it is known, and what is given here replaces it.
        type: dict
        suboptions:
          vcpus:
            description: Number of virtual CPUs. By default 1.
            type: int
          memory:
            description: Memory, as bytes or a size such as V(2GiB). By default 1 GiB.
            type: str
          firmware:
            description: Firmware. By default V(bios).
            type: str
            choices: [bios, uefi]
          secure_boot:
            description: Whether its UEFI starts signed code only.
            type: bool
          chipset:
            description: Chipset of x86 machines. By default V(q35).
            type: str
            choices: [q35, pc]
          arch:
            description: Architecture. By default V(x86_64).
            type: str
          bus:
            description: How disks are attached. By default V(virtio), or as they are in the VM.
            type: str
            choices: [virtio, scsi, sata, ide, nvme]
          networks:
            description: Names of networks, one for each network card. By default none, or those of the VM.
            type: list
            elements: str
          nic_model:
            description: Model of the network cards. By default V(virtio), or as they are in the VM.
            type: str
            choices: [virtio, e1000, e1000e, rtl8139, vmxnet3]
          os:
            description: The guest's system as libosinfo names it, such as V(debian12) or V(win2k22).
            type: str
          description:
            description: A text on the machine.
            type: str
      disk_format: &disk_format
        description:
          - Format of the disks of V(openstack), V(opennebula) and V(proxmox), V(qcow2) (compressed, the default) or V(raw).
          - Elsewhere the end of O(exports[].dest) says it, and another one is refused.
        type: str
        choices: [qcow2, raw, vmdk, vhd, vhdx]
      hardware_version: &hardware_version
        description: VMware's version of virtual hardware in descriptors and VMDK, V(7) to V(22). V(13) is ESXi 6.5's, which all later ones take.
        type: int
      adapter: &adapter
        description:
          - How disks are attached in an OVF descriptor. By default V(lsilogic) for V(virtio) and V(scsi) (V(sata) for V(virtio) with preset
            V(virtualbox)), else as they are.
          - The guest must have the driver.
        type: str
        choices: [lsilogic, lsilogicsas, pvscsi, sata, ide, nvme]
      certificate: &certificate
        description: Absolute path on the host of an X.509 certificate (PEM). The manifest is signed, and the certificate goes into the export.
        type: path
      private_key: &private_key
        description:
          - Absolute path on the host of the certificate's private key (PEM, RSA, not encrypted). It is read by C(openssl) only.
          - Whether it belongs to the certificate is looked at before anything is written.
        type: path
      force: &force
        description: Replace a file at O(exports[].dest) that the collection did not make, or that was written to since. Of folders only the latter.
        type: bool
      bandwidth: &bandwidth
        description: Most bytes a second of disks that are read, as bytes or a size such as V(100M). By default there is no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the export. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes.
        type: int
      owner: &owner
        description: Owner of the export's files, a name or a number. By default root, or who runs the task.
        type: str
      group: &group
        description: Group of the export's files, a name or a number.
        type: str
      mode: &mode
        description: Permissions of the export's files as octal text. New ones get V(0640) by default. Who may read them may enter their folder.
        type: raw
  dest:
    description: Absolute path of the export, as O(exports[].dest).
    type: path
  preset: *preset
  disks: *disks
  vm: *vm
  uri:
    <<: *uri
    default: qemu:///system
  name: *name
  machine: *machine
  disk_format: *disk_format
  hardware_version:
    <<: *hardware_version
    default: 13
  adapter: *adapter
  certificate: *certificate
  private_key: *private_key
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
  - Exports were not tried on the platforms themselves, but for those that libvirt and QEMU read. The guide tells which independent tools read
    them.
  - Variables of UEFI (NVRAM) and the state of a TPM are in no export. The result says so.
  - An OVA's disk of 8 GiB or more (compressed) has its size in GNU tar's form, for which POSIX's has no room; all readers of OVA know it.
seealso:
  - module: imageops.fleet.disk_convert
  - module: imageops.fleet.image_publish
"""

EXAMPLES = r"""
- name: A stopped VM as an OVA
  imageops.fleet.image_export:
    vm: web1
    dest: /srv/export/web1.ova
    preset: ova

- name: A golden image for three clouds
  imageops.fleet.image_export:
    disks:
      - path: /srv/golden/debian-12.qcow2
        format: qcow2
    exports:
      - dest: /srv/export/debian-12.vhd
        preset: azure
      - dest: /srv/export/debian-12.tar.gz
        preset: gcp
      - dest: /srv/export/debian-12-openstack
        preset: openstack
        machine:
          firmware: uefi
          os: debian12

- name: An appliance of two disks with its hardware, signed
  imageops.fleet.image_export:
    disks:
      - path: /srv/golden/database-system.qcow2
      - path: /srv/golden/database-data.raw
        format: raw
    dest: /srv/export/database.ova
    preset: ova
    hardware_version: 15
    adapter: pvscsi
    machine:
      vcpus: 2
      memory: 4GiB
      os: debian12
      networks: [front, back]
    certificate: /etc/ssl/release.pem
    private_key: /etc/ssl/private/release.key
"""

RETURN = r"""
exports:
  description: One entry per export, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    dest:
      description: Path of the export, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    preset:
      description: The platform that it is for.
      type: str
      returned: success
    name:
      description: The machine's name in it.
      type: str
      returned: success
    disk_format:
      description: Format of the disks in it.
      type: str
      returned: success
    disks:
      description: The disks, each with C(name), C(path) and C(format) of the source, and C(size), its bytes in the export.
      type: list
      elements: dict
      returned: success
    files:
      description:
        - The files of the export, each with C(name), C(size) in bytes, and C(sha256) where its bytes went from first to last through our hands.
          C((known after apply)) in check mode when it would be made.
        - Of an archive it is the archive itself.
      type: raw
      returned: success
    machine:
      description: The machine that the export tells of, empty for presets that are a disk and no more.
      type: dict
      returned: success
    left_out:
      description: Sentences on what of the machine is not in the export.
      type: list
      elements: str
      returned: success
    altered:
      description: Sentences on what of the machine the export has in another way.
      type: list
      elements: str
      returned: success
    owner:
      description: Owner of the first file.
      type: str
      returned: success
    group:
      description: Group of the first file.
      type: str
      returned: success
    mode:
      description: Permissions of the first file.
      type: str
      returned: success
      sample: "0640"
    changed:
      description: Whether the export was made or replaced, or would be.
      type: bool
      returned: always
    joined:
      description: Whether an export that ran already was waited for.
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_export_spec import IMAGE_EXPORT
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_export import OPERATION


def main() -> None:
    run_module(IMAGE_EXPORT, OPERATION)


if __name__ == "__main__":
    main()
