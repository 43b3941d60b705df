# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The LUKS options of new images, and what QEMU says when a passphrase is wrong."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .option import Choice, Number, Option, joined

# What QEMU writes without being told (crypto/block-luks.c) comes first.
TABLE: dict[str, Option] = {
    "cipher_alg": Choice("aes-256", words=("aes-256", "aes-128", "serpent-256", "twofish-256")),
    "cipher_mode": Choice("xts", words=("xts", "cbc")),
    "hash_alg": Choice("sha256", words=("sha256", "sha512", "sha1")),
    "ivgen_alg": Choice("plain64", words=("plain64", "plain", "essiv")),
    # Milliseconds that one try of a passphrase shall take.
    "iter_time": Number(2000, least=10, most=600_000),
}
ENCRYPTED = ("qcow2", "luks")
WRONG_PASSPHRASE = "Invalid password"
# QEMU measures how fast the machine is; before version 10 it gives up when the clock it reads stood still (crypto/pbkdf.c).
NOT_MEASURED = "Unable to get accurate CPU usage"


def parse_encryption(given: Mapping[str, Any], *, option: str = "options") -> dict[str, Any]:
    """The typed values of those options in `given` that are about LUKS; raises InvalidOption."""
    return {
        key: TABLE[key].parse(value, name=f"{option}.{key}")
        for key, value in given.items()
        if key in TABLE and value is not None
    }


def encryption_arguments(format: str, values: Mapping[str, Any]) -> list[str]:
    """`-o` and its text for qemu-img, or nothing; the key comes from the opened image."""
    prefix = "encrypt." if format == "qcow2" else ""
    pairs = [(f"{prefix}{key.replace('_', '-')}", TABLE[key].text(value)) for key, value in values.items()]
    if values.get("ivgen_alg") == "essiv":
        pairs.append((f"{prefix}ivgen-hash-alg", "sha256"))
    text = joined(pairs)
    return ["-o", text] if text else []
