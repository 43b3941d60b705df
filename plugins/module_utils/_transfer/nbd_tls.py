# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom NBD over TLS trusts.

libnbd always gets a file: with the system's trust, older versions take any certificate (CVE-2024-7383; Debian 12's is one of them).
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import Any

from .._errors import InvalidOption, NotFound
from .http import Access
from .nbd import library

# Debian's, Fedora's by its old name and its new one, and SUSE's.
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
)
# libnbd looks for it by this name (nbd_set_tls_certificates).
_NAME = "ca-cert.pem"


def require_tls(handle: Any, access: Access, folder: str) -> None:
    """Let the connection be encrypted; certificates to trust are put into `folder`, which must live while it is made."""
    handle.set_tls(library().TLS_REQUIRE)
    handle.set_tls_verify_peer(access.validate_certs)
    if access.validate_certs:
        Path(folder, _NAME).write_bytes(b"\n".join(_read(path) for path in _trusted(access.ca_path)))
        handle.set_tls_certificates(folder)


def _trusted(given: str) -> list[str]:
    """The system's bundle, and what is given besides."""
    default = ssl.get_default_verify_paths().cafile
    system = [path for path in (default, *_BUNDLES) if path and os.path.isfile(path)][:1]
    found = [*system, *([given] if given else [])]
    if not found:
        raise NotFound(
            "src: this host has no certificates to trust; install ca-certificates, or give a file as ca_path."
        )
    return found


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidOption(f"ca_path: {path} can't be read: {error.strerror}.") from None
