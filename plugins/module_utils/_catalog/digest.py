# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Digests as OCI writes them, and descriptors: what names a blob (OCI image specification 1.1, descriptor.md)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._errors import TransferError

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_SIZE = 1 << 50


def is_digest(text: object) -> bool:
    """Whether `text` is a sha256 digest as OCI writes it; others we neither make nor take."""
    return isinstance(text, str) and bool(_DIGEST.fullmatch(text))


def digest_of(data: bytes | memoryview) -> str:
    """The digest of `data`."""
    return digest_text(hashlib.sha256(data).digest())


def digest_text(raw: bytes) -> str:
    """32 bytes as a digest's text."""
    return f"sha256:{raw.hex()}"


def digest_bytes(text: str) -> bytes:
    """The 32 bytes of a digest's text."""
    return bytes.fromhex(text[len("sha256:") :])


@dataclass(frozen=True)
class Descriptor:
    """A blob or manifest: what it is, its digest, its size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: Mapping[str, str] = field(default_factory=dict)
    artifact_type: str = ""

    def as_dict(self) -> dict[str, Any]:
        told: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.artifact_type:
            told["artifactType"] = self.artifact_type
        if self.annotations:
            told["annotations"] = dict(self.annotations)
        return told


def read_descriptor(value: object, *, where: str) -> Descriptor:
    """The descriptor that was read from `where`; raises TransferError for what is none."""
    if not isinstance(value, dict):
        raise TransferError(f"{where}: a descriptor is no object.")
    media_type, digest, size = value.get("mediaType"), value.get("digest"), value.get("size")
    annotations = value.get("annotations") or {}
    if not _is_media_type(media_type) or not is_digest(digest):
        raise TransferError(f"{where}: a descriptor has no media type, or no sha256 digest.")
    if not isinstance(size, int) or isinstance(size, bool) or not 0 <= size <= _MOST_SIZE:
        raise TransferError(f"{where}: the size {str(size)[:40]} in a descriptor is no number of bytes.")
    if not isinstance(annotations, dict) or not all(
        isinstance(one, str) for pair in annotations.items() for one in pair
    ):
        raise TransferError(f"{where}: a descriptor's annotations are not texts.")
    artifact = value.get("artifactType")
    return Descriptor(str(media_type), str(digest), size, annotations, artifact if isinstance(artifact, str) else "")


def _is_media_type(value: object) -> bool:
    """Servers send it as a header."""
    return isinstance(value, str) and len(value) <= 255 and value.isascii() and value.isprintable()
