#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_pull."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_pull
short_description: Bring images from a catalog to a host, only what the host lacks
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Writes the disks of an image from a catalog into files of the host, as qcow2 or raw, ready to be used or to be the base of overlays.
  - Blocks that the host has in any image that was pulled before are taken from there, shared where the file system can; all others are
    fetched, several at once. Every block is compared with its digest as it comes, and nothing is read twice. Holes stay holes.
  - The file is written under a hidden name and gets its own when it is complete. What an interruption leaves is kept, and the next run of
    the task goes on there; of what was under way at most 8 MiB are fetched again (1 MiB of each of more than 8 O(connections) with O(peers)).
  - A file knows by the collection's record what it is. A second run asks the catalog what the tag names now, by one request, or by none when
    O(image) has a digest, and reads no image data.
  - A containerDisk of KubeVirt, which is an image of a container with a disk under C(/disk), is taken too. Its layers are read as streams and
    not unpacked, the disk is inspected like any image of unknown origin, and written in the O(format) that is asked for. It comes whole, by
    one request after the other, and anew after an interruption, so O(seeds) and O(connections) mean nothing for it.
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.catalog
  - imageops.fleet.job
  - imageops.fleet.signature
requirements:
  - C(zstandard) for Python on the host (Debian's package C(python3-zstandard))
  - C(ssh-keygen) for O(require_signature)
  - C(qemu-img) for disks of containers, C(qemu-nbd) and libnbd's C(nbd) (Debian's packages C(qemu-utils) and C(python3-libnbd)) to read qcow2
    images of other origin
options:
  images:
    description:
      - Many images in one task, with the same options as the single form.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      image:
        description:
          - The image, as V(dir:/PATH:TAG), V(HOST[:PORT]/NAME:TAG) or V(https://HOST/PATH:TAG). Without a tag it is V(latest).
          - V(@sha256:...) behind it names one content for ever; the tag is then for people only.
        type: str
        required: true
      dest: &dest
        description:
          - Absolute path of the file, or of a folder, that is there or has a slash behind it; every disk of the image then gets a file of
            its name there, such as C(vda.qcow2).
          - C({digest}) stands for the first 16 digits of the image's digest, C({tag}) for its tag, C({disk}) for the disk's name. With a
            digest in the name each version is a file of its own, and RV(images[].dest) tells which.
          - A file that was pulled from the same repository, and that nobody wrote to since, is replaced when the tag names another
            image, unless a VM or another image uses it. Any other file is refused, unless it holds just this content already.
          - Give this or O(images[].disks).
        type: path
      disk: &disk
        description: Name of the disk that is meant. An image of several disks needs it when O(images[].dest) is a file.
        type: str
      disks: &disks
        description: A file for each of these disks of the image.
        type: list
        elements: dict
        suboptions:
          name:
            description: Name of the disk in the image.
            type: str
            required: true
          dest:
            description: Absolute path of its file.
            type: path
            required: true
          format:
            description: Format of the file. By default O(images[].format).
            type: str
            choices: [qcow2, raw]
      format: &format
        description: Format of the files. A qcow2 file has clusters of 64 KiB, is not compressed, and has no backing file.
        type: str
        choices: [qcow2, raw]
      verify: &verify
        description:
          - V(quick) believes a file's record while size and time say that nobody wrote to the file.
          - V(deep) reads a file that is there and compares all of it with the image. When it differs the task fails, or with
            O(images[].force) pulls it again.
        type: str
        choices: [quick, deep]
      force: &force
        description: Replace whatever is at O(images[].dest), unless a VM or another image uses it.
        type: bool
      seeds: &seeds
        description:
          - Where to look for blocks before they are fetched. V(auto) stands for all images on the host that were pulled before; all else are
            absolute paths of raw or qcow2 images, which are read from end to end for it.
          - An empty list fetches everything.
        type: list
        elements: str
      trust_seeds: &trust_seeds
        description:
          - Take blocks from images that were pulled before without reading them, where their size and time say that nobody wrote to them.
          - That saves reading and hashing, and lets damage of a disk drive, or of somebody who sets times back, spread to the new file.
          - It can't be combined with O(require_signature), which is for what was compared with the signed digests.
        type: bool
      connections: &connections
        description: How many requests are under way at once, 1 to 32.
        type: int
      search_paths: &search_paths
        description: >-
          More folders whose images may rest on a file that is to be replaced. The file's own folder and all storage pools are looked at
          anyway. Each must exist.
        type: list
        elements: path
      bandwidth: &bandwidth
        description: Most bytes a second that are fetched, as bytes or a size such as V(100M). By default there is no limit.
        type: str
      timeout: &timeout
        description:
          - Seconds to wait for the work. The task fails after that, the job goes on, and the next run joins it.
          - V(0) waits as long as it takes. Negative numbers are refused.
        type: int
      owner: &owner
        description: Owner of the file. By default the user that the module runs as. Files that a VM uses keep theirs.
        type: str
      group: &group
        description: Group of the file.
        type: str
      mode: &mode
        description: Mode of the file, as octal digits in quotes. A new file gets V("0644") by default, since every VM reads its base.
        type: raw
  image:
    description:
      - The image, as V(dir:/PATH:TAG), V(HOST[:PORT]/NAME:TAG) or V(https://HOST/PATH:TAG). Without a tag it is V(latest).
      - V(@sha256:...) behind it names one content for ever; the tag is then for people only.
    type: str
  dest: *dest
  disk: *disk
  disks: *disks
  format:
    <<: *format
    default: qcow2
  verify:
    <<: *verify
    default: quick
  force:
    <<: *force
    default: false
  seeds:
    <<: *seeds
    default: [auto]
  trust_seeds:
    <<: *trust_seeds
    default: false
  connections:
    <<: *connections
    default: 8
  search_paths: *search_paths
  bandwidth: *bandwidth
  timeout:
    <<: *timeout
    default: 0
  owner: *owner
  group: *group
  mode: *mode
  peers:
    description:
      - URLs of the servers of all hosts that pull the same at the same time, such as V(http://10.0.0.2:7070), the same list for all of them,
        this host's own included. Each part of a pack is then fetched from the catalog by one of the hosts and handed on by it, so that one
        image leaves the catalog, whatever the number of hosts is.
      - A host that doesn't answer is left out for the rest of the run. Nothing that a host sends is believed; every block is compared with
        its digest.
    type: list
    elements: str
  share:
    description:
      - How this host hands on what it fetches, while it pulls and for a while after. What is handed on is kept as it came, so that it takes
        its compressed size on the host once more meanwhile.
    type: dict
    suboptions:
      url:
        description: The URL under which the other hosts reach this one; its own entry of O(peers).
        type: str
        required: true
      port:
        description: Port that the server listens on. One server runs for each port.
        type: int
        required: true
      address:
        description: Address that it listens on.
        type: str
        default: 0.0.0.0
      token:
        description:
          - What hosts show to each other, the same for all. Without one everybody who can reach the port may read the parts of the image.
          - Between hosts there is no TLS. Who reads along reads the image, and the token.
        type: str
      linger:
        description: Seconds after the last request at which the server ends, and its cache goes.
        type: int
        default: 60
notes:
  - Check mode reads manifest, configuration and block index of an image that would be pulled, and says in RV(images[].estimate) what that
    costs.
  - With O(verify=deep) check mode can't know whether a file differs, and says V(changed).
seealso:
  - module: imageops.fleet.image_publish
  - module: imageops.fleet.image_info
  - module: imageops.fleet.image_sign
  - module: imageops.fleet.disk
"""

EXAMPLES = r"""
- name: The base of all Debian machines
  imageops.fleet.image_pull:
    image: registry.example.org:5000/team/debian:12
    dest: /var/lib/libvirt/images/debian-12.qcow2

- name: Each version under a name of its own, so that machines go over when they like
  imageops.fleet.image_pull:
    image: registry.example.org:5000/team/debian:stable
    dest: /var/lib/libvirt/images/debian-{digest}.qcow2
  register: base

- name: Only what was signed, from a folder
  imageops.fleet.image_pull:
    image: dir:/srv/images/debian:12
    dest: /var/lib/libvirt/images/debian-12.raw
    format: raw
    require_signature:
      allowed_signers: /etc/imageops/allowed_signers
      identity: release@example.org

- name: Several images, with at most 50 MiB a second each
  imageops.fleet.image_pull:
    url_username: puller
    url_password: "{{ registry_password }}"
    bandwidth: 50M
    images:
      - image: registry.example.org:5000/team/debian:12
        dest: /var/lib/libvirt/images/debian-12.qcow2
      - image: registry.example.org:5000/team/database:7
        dest: /var/lib/libvirt/images/database/
"""

RETURN = r"""
images:
  description: One entry per file, in the order given; those of one image in the order of its disks.
  returned: always
  type: list
  elements: dict
  contains:
    dest:
      description: Path of the file, with all symbolic links resolved unless the item failed.
      type: str
      returned: always
    image:
      description: The reference that it was pulled by.
      type: str
      returned: always
    digest:
      description: Digest of the image that the file is of.
      type: str
      returned: success
    disk:
      description: Name of the disk in the image.
      type: str
      returned: success
    format:
      description: Format of the file.
      type: str
      returned: success
    virtual_size:
      description: Size of the disk in bytes.
      type: int
      returned: success
    variables:
      description:
        - The UEFI variables (NVRAM) that came with the image of a published VM, with C(content), C(size), C(format) and C(secure_boot) as
          M(imageops.fleet.image_publish) tells them. The host keeps them for VMs that M(imageops.fleet.vm) makes of the file. Empty without any.
      type: dict
      returned: success
    allocated_size:
      description: Bytes that the file takes; C((known after apply)) in check mode where it would be pulled.
      type: raw
      returned: success
    owner:
      description: Owner of the file.
      type: str
      returned: success
    group:
      description: Group of the file.
      type: str
      returned: success
    mode:
      description: Mode of the file.
      type: str
      returned: success
    changed:
      description: Whether the file is another one now, or has another owner, group or mode.
      type: bool
      returned: always
    joined:
      description: Whether work that ran already was waited for.
      type: bool
      returned: when joined
    job:
      description:
        - The job that did it, with C(id), C(launcher), C(seconds) and C(phases).
        - C(fetched_bytes) came over the network or from the catalog's folder by C(ranges) requests, and C(from) says how many from each place.
          C(refetched_bytes) of them had been asked for by an earlier run, and C(resumed_bytes) of the disk had been written by it.
        - C(reused_bytes) of the disk were in other files of the host, of which C(shared_bytes) share their blocks with those.
        - C(rate) is how many bytes of the disk were written a second.
        - C(verified_bytes) were read of a file that was there, and equal.
        - C(warnings) tell why not all was handed on to other hosts.
      type: dict
      returned: when something was fetched or read in this run
    estimate:
      description: C(fetched_bytes), C(reused_bytes) and C(resumed_bytes) as far as they are known before it is done.
      type: dict
      returned: in check mode, when something would be fetched
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_pull_spec import IMAGE_PULL
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_pull import OPERATION


def main() -> None:
    run_module(IMAGE_PULL, OPERATION)


if __name__ == "__main__":
    main()
