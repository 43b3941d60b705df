#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_info."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_info
short_description: Tell which versions of an image a catalog has, and what a host holds of them
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Tells the versions of a repository with their sizes, what they share, their aliases and signatures, and what their publishers said.
  - Tells which of them this host holds, who uses these files, and whether they are the version that hosts should hold. Run on all
    hosts it is a report of drift, which the playbook C(imageops.fleet.image_drift) prints as a table.
  - Of images only the manifests and configurations are read, unless O(blocks=true).
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.query
  - imageops.fleet.catalog
attributes:
  diff_mode:
    description: Changes nothing, so there is nothing to show.
    support: N/A
requirements:
  - C(libvirt) for Python on a host that has libvirt (Debian's package C(python3-libvirt)), unless O(held=false)
  - C(ssh-keygen) with O(allowed_signers) (Debian's package C(openssh-client))
options:
  repository:
    description:
      - The repository, without tag and digest, such as V(registry.example:5000/team/debian) or V(dir:/srv/images/debian).
      - One that isn't there has no versions. Without O(repository) and O(image) only what the host holds is told, from whatever
        repository, and no catalog is asked.
    type: str
  image:
    description: One image in place of all of a repository, such as V(registry.example:5000/team/debian:12).
    type: str
  wanted:
    description:
      - The version with which what the host holds is compared, a tag (also an alias) or a digest. By default the newest one that has a tag.
    type: str
  held:
    description:
      - Whether to tell what the host holds. Where that can't be known, such as on a host with libvirt that doesn't answer, the task fails.
    type: bool
    default: true
  blocks:
    description: Count the blocks that versions share. For that their block indexes are read, about 0.7 MB for each full GiB.
    type: bool
    default: false
  allowed_signers:
    description:
      - Absolute path on the host of a file with the keys of those who may sign, as C(ssh-keygen) reads it. With it RV(versions[].signer)
        is told.
    type: path
seealso:
  - module: imageops.fleet.image_alias
  - module: imageops.fleet.image_prune
"""

EXAMPLES = r"""
- name: What is there?
  imageops.fleet.image_info:
    repository: registry.example:5000/team/debian
  register: debian

- name: Say it
  ansible.builtin.debug:
    msg: "{{ item.tags | join(', ') }}: {{ item.created }}, {{ item.size.own | human_readable }} of its own"
  loop: "{{ debian.versions }}"
  loop_control:
    label: "{{ item.digest }}"

- name: Does this host hold what is stable?
  imageops.fleet.image_info:
    repository: registry.example:5000/team/debian
    wanted: stable
  register: here

- name: Fail if a virtual machine rests on something else
  ansible.builtin.assert:
    that: here.held | selectattr('outdated') | selectattr('users') | length == 0

- name: What this host holds, from whatever catalog
  imageops.fleet.image_info:
  register: all

- name: Who signed this one?
  imageops.fleet.image_info:
    image: dir:/srv/images/debian:12.8
    allowed_signers: /etc/imageops/allowed_signers
"""

RETURN = r"""
versions:
  description:
    - One entry per version of O(repository), the newest first, or the one of O(image). Also what others keep there under a tag, and
      images that lost their tag to another one.
  returned: success
  type: list
  elements: dict
  contains:
    digest:
      description: Digest of its manifest.
      type: str
      returned: always
    tags:
      description: Its tags but for aliases.
      type: list
      elements: str
      returned: always
      sample: ["12.8"]
    aliases:
      description: The aliases that point at it.
      type: list
      elements: str
      returned: always
      sample: [stable]
    created:
      description: When its publisher made it, RFC 3339.
      type: str
      returned: for images of this collection
      sample: "2026-11-28T16:00:00Z"
    arrived:
      description: When it came into this repository; empty where that isn't known, as in registries.
      type: str
      returned: always
    newest:
      description: Whether it is the newest one that has a tag other than an alias.
      type: bool
      returned: always
    problem:
      description: Why it can't be read, such as that it was published by something else; else empty.
      type: str
      returned: always
    size:
      description:
        - C(guest) bytes of all disks as guests see them, C(used) bytes of blocks other than zeros, C(stored) bytes in the catalog, of which
          only this version needs C(own).
      type: dict
      returned: for images of this collection
      sample: {guest: 2147483648, used: 1073741824, stored: 429496729, own: 21474836}
    packs:
      description: In how many packs its blocks are.
      type: int
      returned: for images of this collection
    blocks:
      description:
        - How many different blocks it has (C(total)), how many of them another version has too (C(shared)), and their bytes in the catalog
          (C(total_bytes), C(shared_bytes)).
      type: dict
      returned: with O(blocks=true), for images of this collection
    disks:
      description: Its disks, each with C(name), C(size) and C(used) in bytes, C(format), C(options), and C(content), a digest of its content.
      type: list
      elements: dict
      returned: for images of this collection
    vm:
      description: What is known of its virtual machine; C(definition) tells whether a whole definition is kept. Empty without any.
      type: dict
      returned: for images of this collection
    os:
      description: What is known of the operating system in it.
      type: dict
      returned: for images of this collection
    labels:
      description: Its labels.
      type: dict
      returned: for images of this collection
    provenance:
      description: Where it came from, as its publisher says.
      type: dict
      returned: for images of this collection
    tool:
      description: What published it.
      type: str
      returned: for images of this collection
    signatures:
      description: Its signatures, each with C(digest), and fingerprint (C(key)) and C(type) of the key. Whether they are true is not told.
      type: list
      elements: dict
      returned: for images of this collection
    signer:
      description: C(identity) and C(key) of one who may sign and did, proven; null when nobody did.
      type: dict
      returned: with O(allowed_signers), for images of this collection
    changed:
      description: Always false.
      type: bool
      returned: always
    steps:
      description: Always empty, as nothing is done.
      type: list
      elements: str
      returned: success
repository:
  description: The repository as a whole.
  returned: with O(repository)
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: registry.example:5000/team/debian
    versions:
      description: How many images it has that this collection can read.
      type: int
    stored:
      description: Bytes that they take together.
      type: int
    newest:
      description: C(digest), C(tags) and C(created) of the newest version that has a tag; null without any.
      type: dict
    wanted:
      description: The same of the version that hosts should hold.
      type: dict
    outdated:
      description: Whether the host holds a version other than that.
      type: bool
    aliases:
      description: Its aliases by name, each with the C(digest) at which it points, and C(previous), where a rollback goes.
      type: dict
held:
  description:
    - The files of this host that hold these images, or were pulled from O(repository); without O(repository) and O(image) all that hold
      an image of a catalog.
    - They are known by a note that the pull left, or, when a file was renamed since or another user pulled it, by its own record. Such a
      file is found in storage pools, beside files that have a note, and below the disks of virtual machines of libvirt and the overlays in
      these folders. One that was copied has no record, and one elsewhere isn't found.
  returned: success
  type: list
  elements: dict
  contains:
    path:
      description: The file.
      type: str
    reference:
      description: By what name it was pulled.
      type: str
    digest:
      description: Digest of the image that it was pulled from.
      type: str
    disk:
      description: Which of the image's disks it holds.
      type: str
    format:
      description: Its format.
      type: str
    size:
      description: Its size in bytes, as a guest sees it.
      type: int
    valid:
      description: Whether it is as it was pulled. A disk that a virtual machine writes to isn't.
      type: bool
    versions:
      description: Tags of that image in the repository, but for aliases.
      type: list
      elements: str
      returned: with O(repository) or O(image)
    known:
      description: Whether the repository has that image still.
      type: bool
      returned: with O(repository) or O(image)
    outdated:
      description: Whether it is another version than the wanted one.
      type: bool
      returned: with O(repository) or O(image)
    users:
      description:
        - What uses the file, each with C(kind) (V(domain), V(overlay), V(image) or V(engine)), C(name), and whether it is C(running).
      type: list
      elements: dict
"""

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_info_spec import IMAGE_INFO
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_info import OPERATION


def main() -> None:
    run_module(IMAGE_INFO, OPERATION)


if __name__ == "__main__":
    main()
