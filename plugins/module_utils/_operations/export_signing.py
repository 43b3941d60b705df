# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The certificate of an OVF package: a signature of its manifest, and the certificate that proves it (DSP0243, "OVF package")."""

from __future__ import annotations

import re

from .._commands import Commands, require_program
from .._errors import Conflict, EngineError, InvalidOption
from .._files import fingerprint
from .export_request import ExportRequest

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----\r?\n[A-Za-z0-9+/=\r\n]+-----END CERTIFICATE-----")
_MOST = 1 << 20


def require_signer(request: ExportRequest) -> None:
    """Raise InvalidOption unless certificate and private key can be read and belong together, MissingLibrary without openssl."""
    if not request.signing:
        return
    certificate, key = (request.signing[option]["path"] for option in ("certificate", "private_key"))
    _certificate(certificate)
    require_program("openssl")
    public = _public("certificate", ["openssl", "x509", "-in", certificate, "-noout", "-pubkey"])
    if public != _public("private_key", ["openssl", "pkey", "-in", key, "-passin", "pass:", "-pubout"]):
        raise InvalidOption(
            f"private_key: {key} is not the key of the certificate {certificate}; give the one that is."
        )


def _public(option: str, argv: list[str]) -> str:
    try:
        return Commands().output(argv)
    except EngineError as error:
        raise InvalidOption(
            f"{option}: {argv[3]} can't be read ({error}); give one in PEM form that isn't encrypted."
        ) from None


def _certificate(path: str) -> bytes:
    """The certificate in the file, in PEM form."""
    with open(path, "rb") as stream:
        pem = _PEM.search(stream.read(_MOST))
    if pem is None:
        raise InvalidOption(f"certificate: {path} holds no certificate in PEM form; give one that does.")
    return pem[0]


def certificate_file(request: ExportRequest, manifest: bytes, name: str) -> bytes:
    """The file for the manifest called `name`; nothing when the export isn't signed. Raises Conflict, InvalidOption or EngineError."""
    if not request.signing:
        return b""
    for option, told in request.signing.items():
        found = fingerprint(told["path"])
        if found is None or {"path": told["path"], **found.as_dict()} != told:
            raise Conflict(f"{option}: {told['path']} was changed while the export was made; run the task again.")
    pem = _certificate(request.signing["certificate"]["path"])
    key = request.signing["private_key"]["path"]
    said = Commands().output(
        ["openssl", "dgst", "-sha256", "-hex", "-sign", key, "-passin", "pass:"], stdin=manifest.decode()
    )
    signature = said.rpartition(" ")[2].strip() or said.strip()
    return f"SHA256({name})= {signature}\n".encode() + pem + b"\n"
