#!/usr/bin/python
# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documentation and entry of the module image_serve."""

from __future__ import annotations

DOCUMENTATION = r"""
module: image_serve
short_description: Serve a catalog in a directory to other hosts
version_added: 0.4.0
author:
  - The imageops.fleet developers (@imageops)
description:
  - Starts and ends small, read-only servers of catalogs that are directories (V(dir:/PATH)). Nothing needs to be installed for them.
  - A server speaks the reading part of the OCI distribution API, and shows the layout's files besides. So other hosts pull from it as
    from a registry (V(HOST:PORT/NAME:TAG)) or as from a web server (V(https://HOST:PORT/NAME:TAG)), whatever the name, and standard
    tools read it too.
  - It is a job of the host helper, and goes on when the task has ended, until it is ended by O(state=stopped), has nothing to do for
    O(linger) seconds, or the host goes down. A second run with the same options leaves it as it is; other options replace it.
  - For many hosts and for writing over the network a registry is the better home of images.
extends_documentation_fragment:
  - imageops.fleet.attributes
  - imageops.fleet.attributes.idempotent
notes:
  - Only files that a digest names, and the two that every OCI image layout has, are ever read; symbolic links aren't followed, and
    folders aren't listed.
  - A server takes up to 256 connections, and ends those that are silent for a minute.
options:
  servers:
    description:
      - Many servers of one host in one task, with the same options as the single form, each port once.
      - What an item leaves out comes from the task's own option of that name.
    type: list
    elements: dict
    suboptions:
      port:
        description: The port to listen on. There is one server for each.
        type: int
        required: true
      state: &state
        description:
          - V(started) sees that the server runs with these options.
          - V(stopped) ends the server on this port.
        type: str
        choices: [started, stopped]
      repository: &repository
        description: The catalog to serve, as V(dir:/PATH). It must be there. Needed for O(servers[].state=started).
        type: str
      images: &images
        description:
          - References of images in the repository that is served. The result tells the digest that each of them names now, so that all
            who are sent to the server with it get the same, also when a tag moves meanwhile.
          - One that isn't there fails the task, and no server is started.
        type: list
        elements: str
      address: &address
        description: The address to listen on; V(0.0.0.0) is all of IPv4, V(::) all of IPv6.
        type: str
      token: &token
        description:
          - What askers must know, at least 16 characters. They give it as a password (C(url_password)) of any user, or as a bearer token.
          - It is in no file, no argument list, no log and no result.
        type: str
      public: &public
        description: Let everybody read who reaches the port. Without it a server with neither O(servers[].token) nor a loopback address is refused.
        type: bool
      certificate: &certificate
        description: Absolute path of a certificate (PEM, with its chain). With it the server speaks TLS.
        type: path
      key: &key
        description: Absolute path of the certificate's key (PEM), where that is not in the same file.
        type: path
      linger: &linger
        description: Seconds without a request after which the server ends by itself; V(0) is never.
        type: int
      bandwidth: &bandwidth
        description: The most bytes a second of the whole server, such as V(100M); V(0) is no limit, as when it is left out.
        type: str
  port:
    description: The port to listen on. There is one server for each.
    type: int
  state:
    <<: *state
    default: started
  repository:
    description: The catalog to serve, as V(dir:/PATH). It must be there. Needed for O(state=started).
    type: str
  images: *images
  address:
    <<: *address
    default: 0.0.0.0
  token: *token
  public:
    description: Let everybody read who reaches the port. Without it a server with neither O(token) nor a loopback address is refused.
    type: bool
    default: false
  certificate: *certificate
  key: *key
  linger:
    <<: *linger
    default: 0
  bandwidth: *bandwidth
  lock_timeout:
    description: Seconds to wait for another task that works on one of the servers.
    type: int
    default: 60
seealso:
  - module: imageops.fleet.image_publish
  - module: imageops.fleet.image_pull
  - module: imageops.fleet.disk_job_info
"""

EXAMPLES = r"""
- name: Show the catalog of this host to the others
  imageops.fleet.image_serve:
    repository: dir:/srv/images/debian
    port: 5051
    token: "{{ catalog_token }}"
    certificate: /etc/ssl/private/catalog.pem

- name: For the next quarter of an hour, in a network of our own
  imageops.fleet.image_serve:
    repository: dir:/srv/images/debian
    port: 5052
    public: true
    linger: 900
    bandwidth: 100M

- name: End both
  imageops.fleet.image_serve:
    state: stopped
    servers:
      - port: 5051
      - port: 5052
"""

RETURN = r"""
servers:
  description: One entry per server, in the order given.
  returned: always
  type: list
  elements: dict
  contains:
    port:
      description: Its port.
      type: int
      returned: always
    state:
      description: Whether it is V(started) or V(stopped).
      type: str
      returned: success
    repository:
      description: What it serves.
      type: str
      returned: when started
    url:
      description: Scheme, address and port on which it listens.
      type: str
      returned: when started
    digests:
      description: Of each of O(servers[].images) the digest of the image that it names.
      type: dict
      returned: when started
    job:
      description: The job that serves; M(imageops.fleet.disk_job_info) tells how it stands.
      type: str
      returned: when started
    changed:
      description: Whether it was started, replaced or ended, or would be.
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

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.image_serve_spec import IMAGE_SERVE
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.run import run_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_serve import OPERATION


def main() -> None:
    run_module(IMAGE_SERVE, OPERATION)


if __name__ == "__main__":
    main()
