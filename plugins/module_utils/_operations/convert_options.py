# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The options of a conversion's target: format, creation options, compression and encryption, all resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .._formats.names import canonical_format
from .._qemu.encryption import ENCRYPTED, parse_encryption
from .._qemu.encryption import TABLE as ENCRYPTION
from .._qemu.option import Switch, one_of
from .._qemu.options import completed, parse_options

_COMPRESS = "compress"
# Four times as fast as zlib at the same size; qcow2 images of version 2 can't have it.
_COMPRESSION = "zstd"


@dataclass(frozen=True)
class Target:
    """What the new image shall be; `options` are the format's, `encryption` those of LUKS, None when it has none."""

    format: str
    options: dict[str, Any]
    compress: bool
    encryption: dict[str, Any] | None

    @property
    def declared(self) -> dict[str, Any]:
        """The options as the record keeps them."""
        kind = {"encryption": "luks"} if self.encryption is not None and self.format != "luks" else {}
        return {**self.options, **({_COMPRESS: True} if self.compress else {}), **(self.encryption or {}), **kind}


def read_target(format: str, given: Mapping[str, Any], *, passphrase: str | None) -> Target:
    """Check the target's options; raises InvalidOption."""
    name, rest = canonical_format(format), dict(given)
    encryption = _encryption(name, rest, passphrase)
    compress = _compress(name, rest)
    if name == "luks" and rest:
        raise InvalidOption(f"options.{min(rest)}: luks has no such option; it has {one_of(sorted(ENCRYPTION))}.")
    if compress and encryption is not None:
        raise InvalidOption(
            "options.compress: QEMU can't compress an encrypted image; leave out 'compress' or 'passphrase'."
        )
    options = parse_options(name, rest, also=(_COMPRESS, *ENCRYPTION) if name == "qcow2" else ())
    if compress and options.get("preallocation", "off") != "off":
        raise InvalidOption(
            f"options.preallocation: '{options['preallocation']}' takes the space that 'compress' would save; leave out one of them."
        )
    return Target(name, options, compress, encryption)


def same_options(format: str, one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two sets of declared options make the same image: what one of them leaves out has its default."""
    return _whole(format, one) == _whole(format, other)


def _whole(format: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    encrypted = format == "luks" or "encryption" in declared
    defaults = {key: option.default for key, option in ENCRYPTION.items()} if encrypted else {}
    return {**defaults, **completed(format, declared)}


def _encryption(name: str, given: dict[str, Any], passphrase: str | None) -> dict[str, Any] | None:
    """Take the options of LUKS out of `given`."""
    if passphrase == "":
        raise InvalidOption("passphrase: it is empty, so it protects nothing; give one.")
    if name not in ENCRYPTED:
        if passphrase is not None:
            raise InvalidOption(
                f"passphrase: a {name} image can't be encrypted; use 'format: qcow2' or 'format: luks'."
            )
        return None
    found = parse_encryption(given)
    for key in ENCRYPTION:
        given.pop(key, None)
    if passphrase is None and (found or name == "luks"):
        why = "a luks image needs one" if name == "luks" else f"options.{min(found)} has a meaning only with one"
        raise InvalidOption(f"passphrase: none is given, and {why}.")
    return None if passphrase is None else found


def _compress(name: str, given: dict[str, Any]) -> bool:
    """Take the wish for compressed clusters out of `given`, and resolve its type. Only qcow2 has the choice."""
    if name != "qcow2":
        return False
    value = given.pop(_COMPRESS, None)
    kind = given.get("compression_type")
    if value is None:
        return kind is not None
    compress = Switch(False).parse(value, name="options.compress")
    if compress and kind is None and parse_options(name, given).get("compat") != "0.10":
        given["compression_type"] = _COMPRESSION
    return compress
