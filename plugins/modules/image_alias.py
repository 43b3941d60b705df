#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_alias."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_alias
short_description: Promote versions of images, and roll back
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Lets an alias such as V(stable) or V(candidate) point at a version of an image, and rolls it back to where it pointed before.
  - An alias is a tag, so any tool can pull by it. Which tags are aliases, and where they pointed before, is kept in a small artifact
    with the tag C(imageops-aliases) in the same repository.
  - M(imageops.fleet.image_prune) never removes a version that an alias points at.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.catalog
attributes:
  idempotent:
    description: A second run with the same options changes nothing.
    support: partial
    details:
      - O(rollback) goes one version back each time, unless O(rollback_from) says from where.
options:
  aliases:
    description:
      - Many aliases in one task, with the same options as the single form, moved in this order. One may point at what an earlier one of
        the list points at by then. An alias is named once, but for rollbacks, of which each goes a version further back.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      alias:
        description: Name of the alias, as a tag may be named.
        type: str
        required: true
      repository: &repository
        description: The repository, without tag and digest, such as V(registry.example:5000/team/debian) or V(dir:/srv/images/debian).
        type: str
      version: &version
        description:
          - What the alias shall point at, a tag of the repository (also another alias), or a digest.
          - With O(state=present) either this or O(rollback) is required.
        type: str
      rollback: &rollback
        description:
          - Let the alias point where it pointed before. Rolled back again, it goes on to older versions, and the task fails when nothing
            is further back. Give O(rollback_from) where the task may be run again.
        type: bool
      rollback_from: &rollback_from
        description:
          - With O(rollback), roll back only while the alias points at this version, a tag or a digest; else change nothing. So the task
            can be run again.
        type: str
      state: &state
        description: V(absent) removes the alias, and forgets where it pointed. The versions stay.
        type: str
        choices: [present, absent]
      force: &force
        description:
          - Make an alias of a tag that is none, which moves or removes the name of a version. The task fails where it would be needed and
            isn't given.
          - Also begin the list of aliases anew where it is lost. Then give it for every alias of the repository, as those that aren't set
            again are plain tags.
        type: bool
  alias:
    description: Name of the alias, as a tag may be named.
    type: str
  repository:
    <<: *repository
  version:
    <<: *version
  rollback:
    <<: *rollback
    default: false
  rollback_from:
    <<: *rollback_from
  state:
    <<: *state
    default: present
  force:
    <<: *force
    default: false
  lock_timeout:
    description: Seconds to wait for another task of the same host that changes aliases of the repository.
    type: int
    default: 60
notes:
  - With O(state=absent) a registry must allow removing (C(REGISTRY_STORAGE_DELETE_ENABLED) of Debian's C(docker-registry)).
seealso:
  - module: imageops.fleet.image_info
  - module: imageops.fleet.image_prune
"""

EXAMPLES = r"""
- name: Try version 12.8
  imageops.fleet.image_alias:
    repository: registry.example:5000/team/debian
    alias: candidate
    version: "12.8"

- name: What was tried is stable now
  imageops.fleet.image_alias:
    repository: registry.example:5000/team/debian
    alias: stable
    version: candidate

- name: Go back if 12.8 turned out bad; run again, nothing happens
  imageops.fleet.image_alias:
    repository: registry.example:5000/team/debian
    alias: stable
    rollback: true
    rollback_from: "12.8"
"""

RETURN = r"""
aliases:
  description: One entry per alias, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    alias:
      description: Name of the alias.
      type: str
      returned: always
    state:
      description: V(present) or V(absent).
      type: str
      returned: success
    digest:
      description: Digest of the image that it points at.
      type: str
      returned: when it is present
      sample: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
    versions:
      description: The other tags of that image that are no aliases.
      type: list
      elements: str
      returned: when it is present
      sample: ["12.8"]
    previous:
      description:
        - Where a rollback goes, with C(digest), C(version) as it was called then, and C(when) it was pointed at; null when there is
          nothing to go back to.
      type: dict
      returned: success, not in check mode
    history:
      description:
        - All moves that are remembered, the newest last, each with C(digest), C(version), C(when), and C(rolled_back), which is when the
          move was undone, else an empty text.
      type: list
      elements: dict
      returned: success, not in check mode
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_alias_spec import IMAGE_ALIAS
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_alias import OPERATION


def main() -> None:
    run_module(IMAGE_ALIAS, OPERATION)


if __name__ == "__main__":
    main()
