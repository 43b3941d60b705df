# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Media types of what a catalog holds: OCI's own, and ours (vendor tree, RFC 6838)."""

from __future__ import annotations

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYOUT_HEADER = "application/vnd.oci.layout.header.v1+json"
EMPTY = "application/vnd.oci.empty.v1+json"
# What other tools write, and we read: containerDisks come as these.
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = (MANIFEST, DOCKER_MANIFEST)
INDEXES = (INDEX, DOCKER_INDEX)

# The configuration of an image; ours has a field of its own in it.
CONFIG = "application/vnd.oci.image.config.v1+json"

# artifactType of an image of ours, and what its manifest names.
IMAGE = "application/vnd.imageops.image.v1"
BLOCK_INDEX = "application/vnd.imageops.block-index.v1"
PACK = "application/vnd.imageops.pack.v1+zstd"
VARIABLES = "application/vnd.imageops.uefi-variables.v1+zstd"
SIGNATURE = "application/vnd.imageops.signature.v1"
SSH_SIGNATURE = "application/vnd.imageops.signature.v1+ssh"
ALIASES = "application/vnd.imageops.aliases.v1"
ALIASES_CONTENT = "application/vnd.imageops.aliases.v1+json"

# Of containers' images, which containerDisks are.
CONTAINER_LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
