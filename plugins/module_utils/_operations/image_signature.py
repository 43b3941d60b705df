# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of images: those that an image has, and whether one is by somebody who may sign."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .._catalog.digest import Descriptor
from .._catalog.media_types import SIGNATURE, SSH_SIGNATURE
from .._catalog.signature import MOST_SIGNATURE, NAMESPACE, SshSignature, payload, read_signature
from .._commands import Commands
from .._errors import NotFound, TransferError, UnsafeImage
from .._registry.artifacts import load_artifact
from .._registry.images import read_whole_blob
from .._registry.interface import Store
from .._transfer.stream import Broken
from .image_pull_signed import ANYBODY, signers_path, wanted_identity
from .ssh_keygen import SshKeygen

# Whoever may push can add signatures without end.
MOST_SIGNATURES = 64


@dataclass(frozen=True)
class Signature:
    """A signature of an image: the digest of its own manifest, its text, and what it says of its key."""

    digest: str
    armoured: bytes
    key: SshSignature

    def as_dict(self) -> dict[str, Any]:
        return {"digest": self.digest, "key": self.key.fingerprint, "type": self.key.key_type}


@dataclass(frozen=True)
class Signer:
    """Who signed an image: the principal of the file of allowed signers, and the fingerprint of the key."""

    identity: str
    key: str

    def as_dict(self) -> dict[str, Any]:
        return {"identity": self.identity, "key": self.key}


def signatures_of(store: Store, digest: str) -> list[Signature]:
    """The signatures of the image; what is none, or is damaged, is passed over."""
    referring = store.referrers(digest, SIGNATURE)[:MOST_SIGNATURES]
    found = (_signature(store, digest, each) for each in referring)
    return [each for each in found if each is not None]


def _signature(store: Store, digest: str, referring: Descriptor) -> Signature | None:
    try:
        artifact = load_artifact(store, referring.digest, artifact_type=SIGNATURE)
        if artifact.content.media_type != SSH_SIGNATURE or not artifact.subject or artifact.subject.digest != digest:
            return None
        armoured = read_whole_blob(store, artifact.content, most=MOST_SIGNATURE)
        key = read_signature(armoured, where=f"{store.where}@{referring.digest}")
    except Broken:
        raise
    except (TransferError, NotFound):
        return None
    return Signature(referring.digest, armoured, key) if key.namespace == NAMESPACE else None


def require_signed(store: Store, digest: str, requirement: Mapping[str, Any], commands: Commands) -> Signer:
    """Who signed the image, of those whom `allowed_signers` names and `identity` (a shell pattern, default: any) fits.

    Raises UnsafeImage when nobody of them did, and InvalidOption for an empty identity.
    """
    allowed, wanted = _allowed_signers(requirement), wanted_identity(requirement)
    signatures = signatures_of(store, digest)
    keygen = SshKeygen(commands)
    for signature in signatures:
        for identity in _identities(keygen.principals(signature.armoured, allowed), wanted):
            if keygen.verifies(signature.armoured, payload(digest), allowed_signers=allowed, identity=identity):
                return Signer(identity, signature.key.fingerprint)
    raise _refusal(f"{store.where}@{digest}", signatures, allowed, wanted)


def _allowed_signers(requirement: Mapping[str, Any]) -> str:
    path = signers_path(requirement)
    if not os.path.isfile(path):
        raise NotFound(
            f"require_signature: allowed_signers: there is no file {path} on this host; put the keys of those who may sign there first."
        )
    return path


def _identities(principals: Iterable[str], wanted: str) -> Iterable[str]:
    """Principals that fit, also by a pattern of theirs: then it is the wanted name that ssh-keygen compares with the pattern."""
    for principal in principals:
        if fnmatch.fnmatchcase(principal, wanted):
            yield principal
        elif fnmatch.fnmatchcase(wanted, principal):
            yield wanted


def _refusal(where: str, signatures: Iterable[Signature], allowed: str, wanted: str) -> UnsafeImage:
    keys = sorted({signature.key.fingerprint for signature in signatures})
    whom = f"names, as '{wanted}'" if wanted != ANYBODY else "names"
    if not keys:
        return UnsafeImage(f"{where} is not signed, and a signature by one whom {allowed} {whom} is required.", keys=[])
    return UnsafeImage(
        f"{where} has no valid signature by one whom {allowed} {whom}; it was signed by {', '.join(keys)}.", keys=keys
    )
