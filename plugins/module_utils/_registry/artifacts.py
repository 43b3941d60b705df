# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small artifacts of a repository, read whole and checked, and written in the order in which nothing names what isn't there."""

from __future__ import annotations

from .._catalog.artifact import EMPTY_CONTENT, Artifact, read_artifact
from .._catalog.digest import Descriptor, digest_of
from .._catalog.media_types import MANIFEST
from .interface import Store


def load_artifact(store: Store, version: str, *, artifact_type: str) -> Artifact:
    """The artifact that a tag or digest names; raises NotFound, or TransferError for what is none of that type."""
    descriptor, data = store.manifest(version)
    return read_artifact(data, artifact_type=artifact_type, where=f"{store.where}@{descriptor.digest}")


def write_artifact(store: Store, artifact: Artifact, content: bytes, *, tag: str = "") -> Descriptor:
    """Keep an artifact with its content."""
    store.write_blob(EMPTY_CONTENT, digest_of(EMPTY_CONTENT))
    store.write_blob(content, artifact.content.digest)
    return store.write_manifest(artifact.as_bytes(), MANIFEST, tag=tag)
