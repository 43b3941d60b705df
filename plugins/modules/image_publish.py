#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_publish."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_publish
short_description: Publish disks or a whole VM as a version of an image
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Reads disks as their guest sees them and keeps them in a catalog as an image that other hosts pull. A catalog is a folder or a registry.
  - Content is kept in blocks of 64 KiB, compressed one by one, zeros left out. Only blocks are sent that the repository doesn't hold
    already, from whichever version. So a new version costs what changed.
  - The image gets its name last of all. Until then nothing shows it, whatever is killed or cut. The next run of the task goes on with
    what was sent.
  - A version stays what it is. Other content under a tag that is there is refused, unless O(move_tag) allows it. Names that follow new
    versions are O(aliases).
  - A second run finds by fingerprints that its sources were not written to since, and reads no data. Where it has to read, because
    a guest may have written or another host published, C(changed) says whether the content differs.
  - Images are inspected first, and those that name files which weren't declared are refused.
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.job
  - imageops.fleet.catalog
requirements:
  - The Python library C(zstandard) on the host (Debian's package C(python3-zstandard)), but not for V(containerdisk)
  - For other formats than raw, and for running VMs, C(qemu-nbd) (in C(qemu-utils)) and libnbd's Python library C(nbd)
    (C(python3-libnbd))
  - For O(vm) the Python library C(libvirt) (C(python3-libvirt))
options:
  images:
    description:
      - Many images in one task, with the same options as the single form. No two give the same tag or alias of one catalog.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      image:
        description: The reference under which the image is published, with a tag, such as V(dir:/srv/images/debian:12.8) or
          V(registry.example:5000/team/debian:12.8). A folder is made when it is missing.
        type: str
        required: true
      disks: &disks
        description: The disks of the image, in files or on block devices. Nothing may write to them. Excludes O(vm).
        type: list
        elements: dict
        suboptions:
          path:
            description: Absolute path of the disk.
            type: path
            required: true
          format:
            description: Its format. By default the one that its header shows. A raw image needs V(raw) here, unless its record says so.
            type: str
            choices: [raw, qcow2, vmdk, vhd, vpc, vhdx, vdi, qed]
          name:
            description: Its name in the image, unique there. By default V(vda), V(vdb) and so on, in the order given.
            type: str
          backing:
            description: Absolute paths of the files that an overlay may rest on. What the collection's own records name may be used anyway.
            type: list
            elements: path
      vm: &vm
        description:
          - Name of a VM whose disks are published with its description. Excludes O(disks). Disks have the names of their targets (V(vda)).
          - A stopped VM's disks are read as they are. Those of a running one are read as they are at one moment, by a backup of
            libvirt's, while the guest goes on.
          - Read-only disks and the media of drives are left out. Disks that are shared, encrypted or on the network are refused.
          - The description is kept without what belongs to the host, which is the UUID, paths and devices of the host. Addresses and
            networks of interfaces stay as a proposal for whoever makes a VM of it. Secrets are not in it.
          - A VM with UEFI takes the firmware's variables (NVRAM) along, from a file in raw or qcow2, such as boot entries and the keys of secure
            boot. What else somebody stored there, such as passwords of the firmware's set-up, is in the image too. Of a running VM they
            are as they are right after the moment of its disks. Variables on the network or a block device are left out, with a warning.
          - The state of a TPM is never published, since it is the VM's identity and may hold secrets. A warning says so.
        type: str
      uri: &uri
        description: libvirt's URI, of the host itself.
        type: str
      quiesce: &quiesce
        description: Freeze the file systems of a running guest by its agent for the moment at which its disks are taken. Without it they
          are as after a power cut.
        type: bool
      quiesce_timeout: &quiesce_timeout
        description: Seconds that the guest may be frozen at most. The task fails when that is too short.
        type: int
      labels: &labels
        description: Names and values that say more about the image. They are part of it. Other labels are another image. A value that is
          null is refused.
        type: dict
      os: &os
        description: Facts of the operating system in the image, such as its name and version, for whoever makes VMs of it. Part of the image
          as O(labels) are.
        type: dict
      tags: &tags
        description: More tags for the same image. They are versions as the image's own tag, and don't move either.
        type: list
        elements: str
      aliases: &aliases
        description:
          - Names that point at the newest version, such as V(candidate). They move when this task publishes a new image, and their past is
            kept for M(imageops.fleet.image_alias).
          - Where the image is there already, only missing ones are made. So what was rolled back stays so.
        type: list
        elements: str
      base: &base
        description: Versions of the same repository, tags or digests, whose blocks are looked at too. The eight newest ones are anyway.
        type: list
        elements: str
      move_tag: &move_tag
        description: Let a tag that names another image name this one. The old image stays in the catalog until it is pruned.
        type: bool
      layout: &layout
        description:
          - V(image) is an image of this collection, of any number of disks, that M(imageops.fleet.image_info) and its siblings work with.
          - V(containerdisk) is a container's image with one disk under C(/disk), as qcow2, that KubeVirt starts VMs from. It is sent whole
            whenever it changes. It has O(labels), and neither a description of a VM nor UEFI variables.
        type: str
        choices: [image, containerdisk]
      compression_level: &compression_level
        description: Level of zstd from 1 to 19. Higher ones take longer and give smaller blocks. Of no effect for V(containerdisk).
        type: int
      bandwidth: &bandwidth
        description: Most bytes a second of packs that are sent, on the average, as bytes or a size such as V(100M). By default there is no limit. Of
          no effect for V(containerdisk).
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the work. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes. Negative numbers are refused.
        type: int
  image:
    description: The reference under which the image is published, with a tag.
    type: str
  disks: *disks
  vm: *vm
  uri:
    <<: *uri
    default: qemu:///system
  quiesce:
    <<: *quiesce
    default: false
  quiesce_timeout:
    <<: *quiesce_timeout
    default: 10
  labels: *labels
  os: *os
  tags: *tags
  aliases: *aliases
  base: *base
  move_tag:
    <<: *move_tag
    default: false
  layout:
    <<: *layout
    default: image
  compression_level:
    <<: *compression_level
    default: 3
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
notes:
  - Check mode reads no disk. Where only reading tells whether the content differs, it says C(changed), and that the digest is known after
    apply.
  - The image tells host name, file names and formats of its sources, and no more of where they were. Of a disk that M(imageops.fleet.image_build) or
    M(imageops.fleet.vm_capture) made it tells the digests of recipe, base and SBOM.
seealso:
  - module: imageops.fleet.image_alias
  - module: imageops.fleet.image_info
  - module: imageops.fleet.image_sign
  - module: imageops.fleet.vm_clone
"""

EXAMPLES = r"""
- name: A version of an image, in a folder of the host
  imageops.fleet.image_publish:
    image: dir:/srv/images/debian:12.8
    disks:
      - path: /srv/golden/debian-12.qcow2
    os:
      id: debian
      version: "12"
    aliases:
      - candidate

- name: To a registry with a user's name and a certificate of its own
  imageops.fleet.image_publish:
    image: registry.example:5000/team/debian:12.8
    disks:
      - path: /srv/golden/debian-12.qcow2
    url_username: publisher
    url_password: "{{ registry_password }}"
    ca_path: /etc/ssl/team-ca.pem

- name: A running VM with all its disks, its file systems frozen for a moment
  imageops.fleet.image_publish:
    image: dir:/srv/images/web:2026-11-28
    vm: web1
    quiesce: true

- name: The same disk for KubeVirt
  imageops.fleet.image_publish:
    image: registry.example:5000/team/debian-kubevirt:12.8
    layout: containerdisk
    disks:
      - path: /srv/golden/debian-12.qcow2
        name: debian

- name: Many images at once
  imageops.fleet.image_publish:
    bandwidth: 50M
    images:
      - image: dir:/srv/images/debian:12.8
        disks:
          - path: /srv/golden/debian-12.qcow2
      - image: dir:/srv/images/database:7
        disks:
          - path: /srv/golden/database-system.qcow2
            name: system
          - path: /srv/golden/database-data.raw
            format: raw
            name: data
"""

RETURN = r"""
images:
  description: One entry per image, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    image:
      description: The reference.
      type: str
      returned: always
    digest:
      description: Digest of the image, by which nothing else can be meant; C((known after apply)) in check mode where it would be published.
      type: str
      returned: success
    created:
      description: When it was published first, in UTC; not for a containerDisk.
      type: str
      returned: success, but in check mode only when it is there
    disks:
      description:
        - Its disks with C(name), C(size) in bytes, C(format) of the source, C(blocks) other than zeros, and C(content), a digest that is
          the same for the same bytes.
        - Of a containerDisk C(layer) is the digest of its layer.
      type: list
      elements: dict
      returned: success, but in check mode only when it is there
    variables:
      description:
        - The UEFI variables that the image holds, with C(content), a digest that is the same for the same bytes, C(size) in bytes,
          C(format) of the source's file, and C(secure_boot), which tells whether the VM's firmware starts signed code only.
      type: dict
      returned: when a VM with UEFI was published, but in check mode only when it is there
    tags:
      description: The tags that name it.
      type: list
      elements: str
      returned: success
    aliases:
      description: The aliases that are to follow it.
      type: list
      elements: str
      returned: success
    changed:
      description: Whether it was published or got a name, or may.
      type: bool
      returned: always
    joined:
      description: Whether work that ran already was waited for.
      type: bool
      returned: when joined
    job:
      description:
        - The job that did it, with C(id), C(launcher), C(seconds), C(phases), and C(changed).
        - C(guest_bytes) is the size of the disks, C(guest_rate) how many of them went by a second.
        - C(new_blocks) and C(reused_blocks) count blocks that were sent and that were there or came twice, C(repacked_blocks) those that
          were sent again since their pack held little else of use. C(packs) is how many packs the image has.
        - C(uploaded_bytes) were sent as packs. Of an interrupted run C(resumed_bytes) needn't be sent again, and C(resent_bytes) were.
        - C(sboms) is how many SBOMs of disks that were built or captured stand beside the image, as artifacts of the type C(application/spdx+json).
        - C(frozen_seconds) is how long O(quiesce) held the guest.
        - C(warnings) name versions that lost their block index, so that no block of theirs could be used again.
      type: dict
      returned: when the disks were read in this run
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_publish_spec import IMAGE_PUBLISH
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish import OPERATION


def main() -> None:
    run_module(IMAGE_PUBLISH, OPERATION)


if __name__ == "__main__":
    main()
