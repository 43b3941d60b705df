# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small things that a repository keeps beside images: signatures and the list of aliases (OCI image specification 1.1, manifest.md,
"Guidelines for Artifact Usage").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._errors import TransferError
from .canonical_json import canonical_json
from .digest import Descriptor, digest_of, read_descriptor
from .image import load_manifest
from .media_types import EMPTY, MANIFEST

# What stands for a configuration where there is none.
EMPTY_CONTENT = b"{}"


@dataclass(frozen=True)
class Artifact:
    """One blob with a type, and which manifest it is about, if it is about one."""

    artifact_type: str
    content: Descriptor
    subject: Descriptor | None = None

    def as_bytes(self) -> bytes:
        """The manifest."""
        told: dict[str, Any] = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": self.artifact_type,
            "config": Descriptor(EMPTY, digest_of(EMPTY_CONTENT), len(EMPTY_CONTENT)).as_dict(),
            "layers": [self.content.as_dict()],
        }
        if self.subject:
            plain = Descriptor(self.subject.media_type, self.subject.digest, self.subject.size)
            told["subject"] = plain.as_dict()
        return canonical_json(told)


def read_artifact(data: bytes, *, artifact_type: str, where: str) -> Artifact:
    """The artifact in the manifest `data`; raises TransferError for what is none of that type with just one blob."""
    found = load_manifest(data, where=where)
    layers = found.get("layers")
    if found.get("artifactType") != artifact_type or not isinstance(layers, list) or len(layers) != 1:
        raise TransferError(f"{where}: this is no {artifact_type}.")
    subject = found.get("subject")
    return Artifact(
        artifact_type,
        read_descriptor(layers[0], where=where),
        read_descriptor(subject, where=where) if subject is not None else None,
    )
