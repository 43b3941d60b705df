# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Manifests that are about another one, and the index that names them where there is no referrers API (OCI distribution specification
1.1, "Referrers tag schema").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._catalog.canonical_json import canonical_json
from .._catalog.digest import Descriptor, digest_of, is_digest, read_descriptor
from .._catalog.image import load_manifest
from .._catalog.media_types import INDEX


def subject_in(data: bytes) -> str:
    """The digest of what a manifest is about, empty when it is about nothing."""
    # Most are not, and large ones needn't be parsed for that.
    if b'"subject"' not in data:
        return ""
    subject = load_manifest(data, where="manifest").get("subject")
    digest = subject.get("digest") if isinstance(subject, dict) else None
    return str(digest) if is_digest(digest) else ""


def artifact_type_in(manifest: Mapping[str, Any]) -> str:
    """What kind of artifact a manifest is (OCI image specification 1.1, "Guidelines for Artifact Usage")."""
    config = manifest.get("config")
    named = manifest.get("artifactType") or (config.get("mediaType") if isinstance(config, dict) else "")
    return named if isinstance(named, str) else ""


def referrer_of(data: bytes, media_type: str) -> Descriptor:
    """How a list of referrers names the manifest `data`."""
    found = load_manifest(data, where="manifest")
    told = found.get("annotations")
    annotations = {str(name): str(text) for name, text in told.items()} if isinstance(told, dict) else {}
    return Descriptor(media_type, digest_of(data), len(data), annotations, artifact_type_in(found))


def listed_in(data: bytes, *, where: str) -> list[Descriptor]:
    """What an index names; raises TransferError."""
    listed = load_manifest(data, where=where).get("manifests")
    return [read_descriptor(told, where=where) for told in listed] if isinstance(listed, list) else []


def index_of(listed: Iterable[Descriptor]) -> bytes:
    """An index that names them."""
    told = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [one.as_dict() for one in listed]}
    return canonical_json(told)


def of_type(found: Iterable[Descriptor], artifact_type: str) -> Sequence[Descriptor]:
    """Each once, of that type if one is given."""
    chosen = {one.digest: one for one in found if artifact_type in ("", one.artifact_type)}
    return list(chosen.values())
