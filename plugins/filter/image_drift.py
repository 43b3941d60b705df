# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter image_drift: which hosts hold other versions of images than they should."""

from __future__ import annotations

DOCUMENTATION = r"""
name: image_drift
short_description: Compare what hosts hold of images with what catalogs have
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Puts together what M(imageops.fleet.image_info) told on each host, which holds images, and once of each repository, as rows of a
    report.
  - The playbook C(imageops.fleet.image_drift) prints them.
positional: catalogs
options:
  _input:
    description:
      - By host, what M(imageops.fleet.image_info) returned there without C(repository). A host whose result has no C(held), such as one
        that didn't answer, gets a row that says so.
    type: dict
    required: true
  catalogs:
    description: What M(imageops.fleet.image_info) returned with C(repository), one result per repository.
    type: list
    elements: dict
    required: true
seealso:
  - module: imageops.fleet.image_info
"""

EXAMPLES = r"""
- name: What each host holds
  imageops.fleet.image_info:
  register: here

- name: What should be there
  imageops.fleet.image_info:
    repository: registry.example:5000/team/debian
    wanted: stable
    held: false
  register: debian
  run_once: true

- name: Hosts with something else
  ansible.builtin.debug:
    msg: "{{ found | imageops.fleet.image_drift([debian]) | selectattr('state', 'ne', 'current') }}"
  run_once: true
  vars:
    found: "{{ dict(ansible_play_hosts_all | zip(ansible_play_hosts_all | map('extract', hostvars) | map(attribute='here', default={}))) }}"
"""

RETURN = r"""
_value:
  description: One row per file that holds an image, by host and path.
  type: list
  elements: dict
  contains:
    host:
      description: The host.
      type: str
    state:
      description:
        - V(current) when it is the wanted version, V(outdated) when it is another one, V(unknown) when no repository of the report has it,
          V(no answer) for a host that didn't tell.
      type: str
    path:
      description: The file.
      type: str
    repository:
      description: The repository that has the image; for V(unknown) by what name it was pulled.
      type: str
    version:
      description: Tags of the image, or the beginning of its digest.
      type: str
    digest:
      description: Digest of the image.
      type: str
    wanted:
      description: The version that should be there.
      type: str
    behind:
      description: How many newer versions there are.
      type: int
    users:
      description: Names of the VMs and overlays that use the file.
      type: list
      elements: str
  sample:
    - host: hv1
      state: outdated
      path: /var/lib/libvirt/images/debian-12.7.qcow2
      repository: registry.example:5000/team/debian
      version: "12.7"
      digest: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
      wanted: "12.8"
      behind: 1
      users: [web-1]
"""

from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.fleet.plugins.plugin_utils.image_drift import drift


def image_drift(held: Any, catalogs: Any) -> list[dict[str, Any]]:
    """The rows of the report."""
    if not isinstance(held, dict) or not isinstance(catalogs, (list, tuple)):
        raise AnsibleFilterError("image_drift: it takes results by host, and a list of results of repositories.")
    if not all(isinstance(each, dict) and "repository" in each and "versions" in each for each in catalogs):
        raise AnsibleFilterError("image_drift: catalogs: each is what image_info returned with repository.")
    return drift(held, catalogs)


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Any]:
        return {"image_drift": image_drift}
