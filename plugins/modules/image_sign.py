#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_sign."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_sign
short_description: Sign images in a catalog
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Signs the digest of an image's manifest with an SSH key, by C(ssh-keygen -Y sign) in the namespace C(imageops.fleet). The digest names
    all that belongs to the image, so nothing of a signed image can be changed.
  - The signature is kept in the same repository, as an artifact that refers to the image (OCI distribution 1.1), and goes with the image
    where tools copy what refers to it.
  - C(require_signature) of modules that pull images makes them take only images with a signature by somebody who may sign.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
  - imageops.fleet.catalog
requirements:
  - C(ssh-keygen) of OpenSSH 8.4 or newer on the host (Debian's package C(openssh-client))
options:
  images:
    description:
      - Many images in one task, with the same options as the single form. One that is named twice is signed once. To remove and make a
        signature by one key takes two tasks.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      image:
        description:
          - The image, such as V(registry.example:5000/team/debian:12) or V(dir:/srv/images/debian:12). A tag stands for the image that it
            points at when the task runs.
        type: str
        required: true
      state: &state
        description:
          - With V(present) the image is signed by the key. When it is already, nothing changes.
          - V(absent) removes the signatures by the key.
        type: str
        choices: [present, absent]
      key: &key
        description:
          - Absolute path on the host of the private key, or of the public key while an agent holds the private one, or to remove
            signatures. Required.
        type: path
  image:
    description:
      - The image, such as V(registry.example:5000/team/debian:12) or V(dir:/srv/images/debian:12). A tag stands for the image that it
        points at when the task runs.
    type: str
  state:
    <<: *state
    default: present
  key:
    <<: *key
  agent_socket:
    description:
      - Absolute path on the host of the socket of an SSH agent that holds the private key, such as C(SSH_AUTH_SOCK) names. An agent that
        is only in the environment isn't asked.
    type: path
  passphrase:
    description: Passphrase of the private key. It is in no file, and in no argument or environment of a process.
    type: str
  lock_timeout:
    description: Seconds to wait for another task of the same host that signs in the repository.
    type: int
    default: 60
seealso:
  - module: imageops.fleet.image_info
"""

EXAMPLES = r"""
- name: Sign a version
  imageops.fleet.image_sign:
    image: registry.example:5000/team/debian:12.8
    key: /root/.ssh/release

- name: Sign two with a key that an agent holds
  imageops.fleet.image_sign:
    images:
      - image: dir:/srv/images/debian:12.8
      - image: dir:/srv/images/debian:13.1
    key: /etc/imageops/release.pub
    agent_socket: /run/release-agent.socket

- name: Take back a signature
  imageops.fleet.image_sign:
    image: dir:/srv/images/debian:12.8
    key: /etc/imageops/release.pub
    state: absent
"""

RETURN = r"""
images:
  description: One entry per image, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    image:
      description: The image as it was named.
      type: str
      returned: always
    digest:
      description: Digest of its manifest, which is what is signed.
      type: str
      returned: success
      sample: sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
    key:
      description: Fingerprint of the key.
      type: str
      returned: success
      sample: SHA256:NYt0wzWt95qBg04+fobw5g+Fuedx+t71mSZn7zbMiEQ
    signatures:
      description:
        - The image's signatures, each with C(digest) of the artifact, fingerprint and C(type) of the C(key). Whether they are true is
          not told here.
      type: list
      elements: dict
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_sign_spec import IMAGE_SIGN
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_sign import OPERATION


def main() -> None:
    run_module(IMAGE_SIGN, OPERATION)


if __name__ == "__main__":
    main()
