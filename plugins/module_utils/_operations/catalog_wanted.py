# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task wants of a catalog as the base of a disk, and what such a base is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .._catalog.reference import Reference, parse_reference
from .._catalog.variables import Variables
from .._errors import InvalidOption
from .._plan import Step
from .inspection import Inspected

QCOW2 = "qcow2"
_FORMATS = ("raw", QCOW2)
ACCESS = (
    "url_username", "url_password", "ca_path", "validate_certs", "plain_http", "idle_timeout", "mirrors", "require_signature",
)  # fmt: skip


@dataclass(frozen=True)
class Wanted:
    """A disk of an image; `disk` names it, empty for the only one. `folder` is where it goes when it isn't here."""

    reference: Reference
    disk: str
    format: str
    folder: str
    access: Mapping[str, Any] = field(compare=False, repr=False)

    @property
    def key(self) -> str:
        """What is one base: the same file for all."""
        return f"base:{self.reference}:{self.disk}:{self.format}:{self.folder}"


@dataclass(frozen=True)
class Base:
    """The file that disks are made from, and what their records say of it; `steps` bring it where it isn't here yet.

    `variables` are the UEFI variables that came with the image.
    """

    image: Inspected
    origin: Mapping[str, str]
    steps: tuple[Step, ...] = ()
    variables: Variables | None = None


def read_wanted(
    text: str, *, disk: str | None, format: str | None, folder: str, access: Mapping[str, Any], option: str
) -> Wanted:
    """What a task wants of a catalog; raises InvalidOption."""
    if format and format not in _FORMATS:
        raise InvalidOption(
            f"{option}_format: images of catalogs are pulled as raw or qcow2, not as {format}; give one of them."
        )
    told = {name: access.get(name) for name in ACCESS}
    return Wanted(parse_reference(text, option=option), disk or "", format or "", folder, told)
