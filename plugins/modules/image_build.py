#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_build."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_build
short_description: Build a golden image from a recipe, without booting it
version_added: 0.5.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Makes a disk image of a base and an ordered list of steps, which are done in the guest's file systems while no guest runs.
  - Steps are done on a layer over the base, which stays as it is. Then the identity and the traces of a machine are removed, file systems
    give back what they don't use, and the image is written compressed, whole, and without a backing file.
  - The recipe has a digest, which the image's record keeps. A second run compares it and looks at nothing else, a changed recipe makes
    the image anew. At every moment the name shows the old image or the new one.
  - The list of the guest's packages is written beside the image as an SBOM (SPDX 2.3, JSON).
  - The work runs as a job of the host helper. A second run of the same task joins it.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.guest_work.builds
  - imageops.fleet.job
  - imageops.fleet.catalog
  - imageops.fleet.signature
requirements:
  - C(qemu-img) on the host (Debian's package C(qemu-utils))
  - For V(guestfs) C(guestfish) on the host (Debian's package C(guestfish)) and a kernel that the host can read (C(linux-image-cloud-amd64))
  - For V(chroot) root, C(unshare), C(blkid) and loop devices; for bases that are no disk yet C(mke2fs) (C(e2fsprogs)), and C(mmdebstrap)
  - For O(base.signature) C(gpgv) on the host
notes:
  - Two builds of one recipe give images with the same files, but not the same bytes, since file systems keep times. What is not
    reproducible stands in the guide to building.
seealso:
  - module: imageops.fleet.image_publish
  - module: imageops.fleet.disk_compact
  - module: imageops.fleet.vm
"""

EXAMPLES = r"""
- name: A golden image with a web server
  imageops.fleet.image_build:
    path: /srv/golden/web.qcow2
    base:
      path: /srv/images/debian-12.qcow2
    size: 10G
    steps:
      - grow: last
      - packages: [nginx, qemu-guest-agent]
      - write:
          dest: /etc/nginx/conf.d/gzip.conf
          content: |
            gzip on;
      - user:
          name: ops
          sudo: true
      - ssh_key:
          user: ops
          keys: ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGw8 ops@example.org"]
      - service:
          name: nginx
      - harden: [root_locked, ssh_no_passwords]

- name: From the distribution's cloud image, whose list of checksums is signed
  imageops.fleet.image_build:
    path: /srv/golden/ubuntu.qcow2
    base:
      url: https://cloud-images.ubuntu.com/releases/24.04/release/ubuntu-24.04-server-cloudimg-amd64.img
      checksum: sha256:https://cloud-images.ubuntu.com/releases/24.04/release/SHA256SUMS
      signature: https://cloud-images.ubuntu.com/releases/24.04/release/SHA256SUMS.gpg
      keyring: /usr/share/keyrings/ubuntu-cloudimage-keyring.gpg
    steps:
      - timezone: Europe/Berlin

- name: A Debian of nothing but its packages
  imageops.fleet.image_build:
    path: /srv/golden/debian-12.qcow2
    size: 4G
    base:
      mmdebstrap:
        suite: bookworm
        include: [openssh-server, cloud-init, netplan.io]
    steps:
      - packages: [qemu-guest-agent]

- name: Many images of one base in a catalog
  imageops.fleet.image_build:
    base:
      image: dir:/srv/images/debian:12.8
    builds:
      - path: /srv/golden/database.qcow2
        steps:
          - packages: [postgresql]
      - path: /srv/golden/cache.qcow2
        steps:
          - packages: [redis-server]
"""

RETURN = r"""
builds:
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
      description: Its virtual size in bytes; C((known after apply)) in check mode where a base that isn't a disk on the host yet decides it.
      type: raw
      returned: success
    allocated_size:
      description: Bytes that it takes on disk; C((known after apply)) in check mode where it would be built.
      type: raw
      returned: success
    recipe:
      description: Digest of the recipe, that is of base, steps and all options that make the image what it is, but for secrets.
      type: str
      returned: success
    base:
      description: What it was built from, with C(kind), C(path), C(reference) or C(url), and C(digest), the digest of the base's file, which is
        C((known after apply)) in check mode where it would be built.
      type: dict
      returned: success
    engine:
      description: What opened the guest's file systems; C((known after apply)) in check mode where it would be built.
      type: str
      returned: success
    packages:
      description: How many packages the guest has; C((known after apply)) in check mode where it would be built.
      type: raw
      returned: success
    sbom:
      description: Path of the SBOM; C((known after apply)) in check mode where it would be built.
      type: str
      returned: success
    owner:
      description: Owner of the image.
      type: str
      returned: success
    group:
      description: Group of the image.
      type: str
      returned: success
    mode:
      description: Permissions of the image.
      type: str
      returned: success
    changed:
      description: Whether it was built, or would be.
      type: bool
      returned: always
    joined:
      description: Whether work that ran already was waited for.
      type: bool
      returned: when joined
    job:
      description:
        - The job that did it, with C(id), C(launcher), C(seconds), C(phases), one for each step, and C(changed).
        - C(engine) is what opened the guest's file systems, C(engine_reason) why it wasn't V(guestfs), C(growth) what grew, C(method) the engine
          that wrote the image.
      type: dict
      returned: when the image was built in this run
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_build_spec import IMAGE_BUILD
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_build import OPERATION


def main() -> None:
    run_module(IMAGE_BUILD, OPERATION)


if __name__ == "__main__":
    main()
