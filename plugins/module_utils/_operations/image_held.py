# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this host holds of a repository, and who uses it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from .._catalog.reference import parse_reference
from .._errors import Conflict, EngineError, InvalidOption, MissingLibrary
from .held_anywhere import held_anywhere
from .held_images import HeldImage
from .operation import Tools


def held_of(catalog: str | None, digests: Collection[str], tools: Tools) -> list[dict[str, Any]]:
    """The files of this host that hold one of these images, or that were pulled from that catalog (None: any), each with its users.

    The same image may have come by another name of the repository, such as that of a mirror.
    """
    try:
        held = [each for each in held_anywhere(tools) if each.digest in digests or _is_of(each, catalog)]
        return [_told(each, tools) for each in held]
    except (Conflict, EngineError, MissingLibrary) as error:
        way_out = "or leave out what the host holds by held: false"
        raise type(error)(f"{str(error).rstrip('.')}; {way_out}.", **error.details) from None


def held_digests(tools: Tools) -> frozenset[str]:
    """The digests of all images that this host holds, from whatever repository; also in files that were written to since."""
    return frozenset(each.digest for each in held_anywhere(tools))


def _is_of(held: HeldImage, catalog: str | None) -> bool:
    try:
        return catalog is None or parse_reference(held.reference, option="reference").catalog == catalog
    except InvalidOption:
        return False


def _told(held: HeldImage, tools: Tools) -> dict[str, Any]:
    # Hosts that hold nothing need not know who uses images.
    from .usage import users_of

    users = users_of(held.path, tools)
    return {
        "path": held.path,
        "reference": held.reference,
        "digest": held.digest,
        "disk": held.disk,
        "format": held.format,
        "size": held.size,
        "valid": held.valid,
        "users": [{"kind": user.kind, "name": user.name, "running": user.running} for user in users],
    }
