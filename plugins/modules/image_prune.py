#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_prune."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_prune
short_description: Remove old versions of images from a catalog
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Removes versions of a repository by count and age, with their signatures, and in a directory the blobs that nothing needs any more.
  - A version stays that an alias points at, that is in use, or that is no disk image of this collection.
  - What is used on other hosts only the caller knows, so O(in_use) must be given, even if it is empty. The playbook
    C(imageops.fleet.image_prune) asks all hosts of the inventory, and prunes only when all have answered.
  - In a directory publishing and pruning wait for each other. A run that is killed leaves a catalog in which every version that is
    listed is whole, and blobs that nothing names, which the next run removes.
  - From a registry only the manifests are removed. Their blobs go when the registry collects its garbage, as the role
    C(imageops.fleet.registry) sets up.
requirements:
  - C(libvirt) for Python on a host that has libvirt (Debian's package C(python3-libvirt))
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.catalog
options:
  repository:
    description: The repository, without tag and digest, such as V(registry.example:5000/team/debian) or V(dir:/srv/images/debian).
    type: str
  repositories:
    description: Many repositories in one task. The other options hold for each.
    type: list
    elements: str
  keep:
    description:
      - So many of the newest versions stay, by the time at which they were made. Those that stay for another reason are counted, too.
      - This or O(keep_within) is required. With both a version stays that is among the newest or is young.
      - A task in which both keep nothing, such as one with two variables that are null or V(0), is refused.
    type: int
  keep_within:
    description: Versions stay that were made, or came here, within this time, a number with V(s), V(m), V(h), V(d) or V(w), such as V(30d).
    type: str
  keep_rollback:
    description: Whether the version stays at which an alias pointed before, so that M(imageops.fleet.image_alias) can roll back.
    type: bool
    default: true
  in_use:
    description:
      - Digests of the versions that hosts use, as RV(imageops.fleet.image_info#module:held[].digest) tells them. What the host holds on which
        this module runs counts besides, looked for again when nobody publishes any more.
      - Of files that were renamed, copied or pulled by another user RV(imageops.fleet.image_info#module:held) says which are found. Give the
        digests of those that aren't, or let an alias point at their versions.
      - Give an empty list only when no other host uses the repository.
    type: list
    elements: str
    required: true
  grace:
    description:
      - Nothing goes that is younger, a version as well as a blob that nothing names, which an interrupted publish may go on with. As
        O(keep_within).
      - In a registry a publish is not waited for. Let it be longer than publishing takes.
    type: str
    default: 24h
  lock_timeout:
    description: Seconds to wait for another task of the same host that prunes the repository.
    type: int
    default: 60
notes:
  - What was removed can't be brought back. Run it with C(--check) first, which tells what would go.
  - A registry must allow removing (C(REGISTRY_STORAGE_DELETE_ENABLED) of Debian's C(docker-registry)), else the task fails and nothing was
    removed.
  - An image that lost its tag to another one is a version, too, in a directory. A registry doesn't list such images.
  - The list of aliases has a tag of its own, C(imageops-aliases). In a repository that was copied without it the aliases are plain tags,
    which keep nothing, until M(imageops.fleet.image_alias) sets them again. Where the tag is there and the list is lost, the task fails.
  - An image for containers, such as a KubeVirt containerDisk, always stays, also one that M(imageops.fleet.image_publish) made. It doesn't
    tell when it was made, and clusters that start from it are no hosts that can be asked. C(skopeo delete) removes one from a
    registry.
  - Blobs that the version needed last stay for O(grace) from when they were last published; a later run removes them.
seealso:
  - module: imageops.fleet.image_info
  - module: imageops.fleet.image_alias
"""

EXAMPLES = r"""
- name: What hosts use
  imageops.fleet.image_info:
    repository: registry.example:5000/team/debian
  register: found
  delegate_to: "{{ item }}"
  loop: "{{ groups['hypervisors'] }}"
  run_once: true

- name: Keep the newest five, and what is younger than a month
  imageops.fleet.image_prune:
    repository: registry.example:5000/team/debian
    keep: 5
    keep_within: 30d
    in_use: "{{ found.results | map(attribute='held') | flatten | map(attribute='digest') | unique }}"
  run_once: true

- name: A directory that only this host uses
  imageops.fleet.image_prune:
    repositories:
      - dir:/srv/images/debian
      - dir:/srv/images/windows
    keep: 3
    in_use: []
"""

RETURN = r"""
repositories:
  description: One entry per repository, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    repository:
      description: Name of the repository.
      type: str
      returned: always
    removed:
      description: The versions that were removed, or would be, the newest first.
      type: list
      elements: dict
      returned: success
      contains: &version
        digest:
          description: Digest of its manifest.
          type: str
        tags:
          description: Its tags.
          type: list
          elements: str
        since:
          description: When it was made, or came here if that was later; empty when neither is known.
          type: str
          sample: "2026-11-28T16:00:00Z"
        reason:
          description:
            - Why it stays (V(alias), V(in use), V(rollback), V(among the newest), V(young), V(grace period), V(unknown age),
              V(no image of ours)), or V(removed). V(next run) is one that could go only since the task had looked first.
          type: str
    kept:
      description: The versions that stay, the newest first.
      type: list
      elements: dict
      returned: success
      contains: *version
    orphans:
      description: How many manifests were removed besides, since they were about images that are gone, such as signatures.
      type: int
      returned: success
    freed:
      description:
        - Bytes that were freed. In check mode, and for a registry before it collects its garbage, as many as only the removed versions
          need.
      type: int
      returned: success
    changed:
      description: Whether this item changed something, or would.
      type: bool
      returned: always
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_prune_spec import IMAGE_PRUNE
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_prune import OPERATION


def main() -> None:
    run_module(IMAGE_PRUNE, OPERATION)


if __name__ == "__main__":
    main()
