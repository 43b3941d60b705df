# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The manifest of an OVF package: a digest of each file (DSP0243, "OVF package"), as OpenSSL writes them.

Version 1 of OVF knows SHA-1 and version 2 SHA-256; vSphere, VirtualBox and ovftool take SHA-256 with both, and vSphere wants it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._errors import UnsafeImage

_LENGTHS = {"SHA1": 40, "SHA256": 64, "SHA512": 128}
_LINE = re.compile(r"(SHA1|SHA256|SHA512)\s?\(([^()\x00-\x1f]{1,255})\)\s?=\s{0,4}([0-9a-fA-F]{40,128})\s*", re.ASCII)
_MOST_LINES = 4096


def manifest(digests: Mapping[str, str]) -> bytes:
    """The manifest of files, by name, with their SHA-256 in hexadecimal."""
    return "".join(f"SHA256({name})= {digest}\n" for name, digest in digests.items()).encode()


def parse_manifest(data: bytes, *, where: str) -> dict[str, tuple[str, str]]:
    """Algorithm (as hashlib names it) and digest of each file; raises UnsafeImage for what is no manifest or names a file twice."""
    found: dict[str, tuple[str, str]] = {}
    try:
        lines = [line for line in data.decode("utf-8").splitlines() if line.strip()]
    except UnicodeDecodeError:
        raise _broken(where, "it is no text") from None
    if len(lines) > _MOST_LINES:
        raise _broken(where, f"it has more than {_MOST_LINES} lines")
    for line in lines:
        match = _LINE.fullmatch(line)
        if not match or len(match[3]) != _LENGTHS[match[1]]:
            raise _broken(where, f"it has the line {line[:80]!a}")
        if match[2] in found:
            raise _broken(where, f"it names {match[2]!a} twice")
        found[match[2]] = match[1].lower(), match[3].lower()
    return found


def _broken(where: str, why: str) -> UnsafeImage:
    return UnsafeImage(f"The manifest of {where} can't be used: {why}; get the file again, or ask who made it.")
