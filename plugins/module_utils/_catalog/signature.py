# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Signatures of images: what is signed, and what a signature says of itself (OpenSSH's PROTOCOL.sshsig).

Whether one is true is told by ssh-keygen; here is only read which key made it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

from .._errors import TransferError
from .artifact import Artifact
from .digest import Descriptor, digest_of
from .media_types import SIGNATURE, SSH_SIGNATURE

# Signatures for other purposes don't count here, nor ours elsewhere.
NAMESPACE = "imageops.fleet"
MOST_SIGNATURE = 64 << 10
_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"
_MAGIC = b"SSHSIG"


@dataclass(frozen=True)
class SshSignature:
    """The key that made a signature, by its type and fingerprint as ssh-keygen -l shows them, and for which purpose."""

    key_type: str
    fingerprint: str
    namespace: str


def payload(digest: str) -> str:
    """The text that is signed: the digest of the image's manifest, without a line break."""
    return digest


def signature_artifact(armoured: bytes, subject: Descriptor) -> Artifact:
    """What is kept for a signature of `subject`."""
    return Artifact(SIGNATURE, Descriptor(SSH_SIGNATURE, digest_of(armoured), len(armoured)), subject)


def read_signature(armoured: bytes, *, where: str) -> SshSignature:
    """What the signature says; raises TransferError for what is none."""
    body = armoured.strip()
    if len(armoured) > MOST_SIGNATURE or not (body.startswith(_BEGIN) and body.endswith(_END)):
        raise TransferError(f"{where}: this is no signature of ssh-keygen.")
    try:
        data = base64.b64decode(body[len(_BEGIN) : -len(_END)])
        if data[: len(_MAGIC)] != _MAGIC:
            raise ValueError
        key, rest = _string(data[len(_MAGIC) + 4 :])
        namespace, _rest = _string(rest)
        key_type, _rest = _string(key)
        return SshSignature(key_type.decode("ascii"), fingerprint(key), namespace.decode("utf-8"))
    except (ValueError, binascii.Error, struct.error):
        raise TransferError(f"{where}: the signature is damaged.") from None


def fingerprint(key: bytes) -> str:
    """A public key's fingerprint."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def _string(data: bytes) -> tuple[bytes, bytes]:
    """A string of SSH's wire format, and what follows it."""
    (length,) = struct.unpack_from(">I", data)
    if length > len(data) - 4:
        raise ValueError
    return data[4 : 4 + length], data[4 + length :]
