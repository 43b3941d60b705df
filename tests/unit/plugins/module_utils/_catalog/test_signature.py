# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import struct

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    MANIFEST,
    SIGNATURE,
    SSH_SIGNATURE,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.signature import (
    MOST_SIGNATURE,
    NAMESPACE,
    SshSignature,
    payload,
    read_signature,
    signature_artifact,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError

# Made by ssh-keygen for this test, by a key that is gone, over sha256:44136f...; ssh-keygen -l says what stands in KEY.
ARMOURED = b"""-----BEGIN SSH SIGNATURE-----
U1NIU0lHAAAAAQAAADMAAAALc3NoLWVkMjU1MTkAAAAgp/5zAb9sKs2qo8aNJp60cC1aVk
dyEz3JDlNp464KvT8AAAAOaW1hZ2VvcHMuZmxlZXQAAAAAAAAABnNoYTUxMgAAAFMAAAAL
c3NoLWVkMjU1MTkAAABAcVsbJRHYtQuzyvxN/h1FXqNWqiqFvC3xW1aXH1yhg0GM7tvKui
2yEamATIlRgEw1oneTQBngK+KLkl8oojI6BA==
-----END SSH SIGNATURE-----
"""
KEY = "SHA256:lJcTRjYnJiwsqocVMVZNO9Wj94tHGfZHQJQG6pPRQ2Q"
IMAGE = Descriptor(MANIFEST, digest_of(b"image"), 5)


def string(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def armoured(body: bytes) -> bytes:
    return b"-----BEGIN SSH SIGNATURE-----\n" + base64.encodebytes(body) + b"-----END SSH SIGNATURE-----\n"


def test_what_ssh_keygen_made() -> None:
    assert read_signature(ARMOURED, where="x") == SshSignature("ssh-ed25519", KEY, NAMESPACE)


def test_the_payload_is_the_digest() -> None:
    assert payload(IMAGE.digest) == IMAGE.digest


def test_the_artifact_is_about_the_image() -> None:
    made = signature_artifact(ARMOURED, IMAGE)
    assert (made.artifact_type, made.subject) == (SIGNATURE, IMAGE)
    assert made.content == Descriptor(SSH_SIGNATURE, digest_of(ARMOURED), len(ARMOURED))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"-----BEGIN SSH SIGNATURE-----",
        b"-----BEGIN PGP SIGNATURE-----\nAAAA\n-----END PGP SIGNATURE-----",
        ARMOURED + b" " * MOST_SIGNATURE,
        armoured(b""),
        armoured(b"SSHSIG"),
        armoured(b"SSHSIX\0\0\0\1" + string(string(b"ssh-ed25519")) + string(b"x")),
        armoured(b"SSHSIG\0\0\0\1" + struct.pack(">I", 1 << 30)),
        armoured(b"SSHSIG\0\0\0\1" + string(b"") + string(b"x")),
        armoured(b"SSHSIG\0\0\0\1" + string(string(b"\xff\xfe")) + string(b"x")),
        b"-----BEGIN SSH SIGNATURE-----\nAAA\n-----END SSH SIGNATURE-----",
    ],
)
def test_what_is_no_signature(data: bytes) -> None:
    with pytest.raises(TransferError, match="^x: "):
        read_signature(data, where="x")
