# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who must have signed an image, and what tells whether the same was asked for before."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

from .._errors import InvalidOption, NotFound

ANYBODY = "*"


def signature_mark(requirement: dict[str, Any] | None) -> str:
    """What tells whether the same signature was asked for before: who may sign has not changed since. Empty for none."""
    if not requirement:
        return ""
    path = signers_path(requirement)
    try:
        with open(path, "rb") as stream:
            found = hashlib.sha256(stream.read())
    except FileNotFoundError:
        raise NotFound(
            f"require_signature: allowed_signers: there is no file {path} on this host; put the keys of those who may sign there first."
        ) from None
    found.update(wanted_identity(requirement).encode())
    return found.hexdigest()


def signers_path(requirement: Mapping[str, Any]) -> str:
    """The file with the keys of those who may sign; raises InvalidOption for no absolute path, such as none at all."""
    path = os.path.expanduser(str(requirement["allowed_signers"] or ""))
    if not os.path.isabs(path):
        raise InvalidOption(
            f"require_signature: allowed_signers: '{path}' is no absolute path; give the file with the keys of those who may sign."
        )
    return path


def wanted_identity(requirement: Mapping[str, Any]) -> str:
    """Which of those who may sign must have, a shell pattern; raises InvalidOption for an empty one, since only no pattern means any."""
    identity = requirement.get("identity")
    if identity == "":
        raise InvalidOption(
            "require_signature: identity: an empty text names nobody; say who must have signed, or leave identity out to let anybody of "
            "allowed_signers do."
        )
    return ANYBODY if identity is None else str(identity)
