# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of modules that use a catalog."""

from __future__ import annotations


class ModuleDocFragment:
    """How the place where images live is asked."""

    DOCUMENTATION = r"""
options:
  url_username:
    description:
      - User's name for a registry or web server. A registry that wants a token gets it from the token server that the registry names.
      - Name and password are sent to the catalog's own host and its token server only, never to mirrors, nor to where a request is
        redirected.
    type: str
  url_password:
    description: Password of O(url_username).
    type: str
  ca_path:
    description: Absolute path of a file on the host with certificates (PEM) to trust besides the system's.
    type: path
  validate_certs:
    description: Whether a server's certificate must be valid and its own.
    type: bool
    default: true
  plain_http:
    description:
      - Ask the registry without TLS. Everybody between can then read and change what is sent, the password too. What is pulled is checked
        against its digest all the same.
    type: bool
    default: false
  idle_timeout:
    description:
      - Seconds of silence after which a connection counts as broken, V(1) to V(86400). What a broken one was asked for is asked
        again, six times without a byte between, with growing pauses.
    type: int
    default: 60
  mirrors:
    description:
      - Other places that hold the same images, asked for manifests by digest and for blobs before the catalog itself, in this order.
      - Each is V(https://HOST[:PORT]), a registry or pull-through cache where the repository has the same name, or V(dir:/PATH), an OCI
        image layout. One that fails is left alone for the rest of the run. Tags are always those of the catalog itself.
      - Nothing that a mirror sends is believed; it is checked against the digest.
    type: list
    elements: str
    default: []
notes:
  - A catalog is V(dir:/PATH), an OCI image layout in a folder of the host; V(HOST[:PORT]/NAME), a repository of an OCI registry; or
    V(https://HOST/PATH), read only, an OCI image layout that a web server shows.
  - Proxies are those of the environment (C(http_proxy), C(https_proxy), C(no_proxy)).
"""
