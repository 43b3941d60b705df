# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The list of a guest's packages as an SBOM: SPDX 2.3 as JSON (ISO/IEC 5962)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

_FIELDS = 5
_MOST_TEXT = 512
_INSTALLED = "installed"
_NAMESPACE = "https://github.com/imageops/fleet/spdx"


@dataclass(frozen=True, order=True)
class Package:
    """A package of the guest; `kind` is the type of its purl: deb, rpm, apk or alpm."""

    kind: str
    name: str
    version: str
    arch: str


@dataclass(frozen=True)
class Inventory:
    """What a guest told of itself; `system` are fields of its os-release."""

    packages: tuple[Package, ...]
    system: Mapping[str, str]


def read_inventory(text: str) -> Inventory:
    """The packages and the system in what a guest told, in one order; lines that say something else are left out."""
    packages, system = set(), {}
    for line in text.splitlines():
        words = [word[:_MOST_TEXT] for word in line.split("\t")]
        if words[0] == "os" and len(words) == 2:
            name, _equals, value = words[1].partition("=")
            system[name] = value.strip("\"'")
        elif len(words) == _FIELDS and words[-1].strip() == _INSTALLED:
            packages.add(Package(*words[: _FIELDS - 1]))
    return Inventory(tuple(sorted(packages)), system)


def spdx(inventory: Inventory, *, name: str, created: str, tool: str) -> bytes:
    """The document; all but `created` follows from the inventory and the image's name."""
    packages = [_package(one, number, inventory.system) for number, one in enumerate(inventory.packages, start=1)]
    image = {
        "SPDXID": "SPDXRef-image",
        "name": name,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        **({"versionInfo": inventory.system["VERSION_ID"]} if inventory.system.get("VERSION_ID") else {}),
    }
    told = hashlib.sha256(json.dumps(packages, sort_keys=True).encode()).hexdigest()
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"{_NAMESPACE}/{quote(name)}-{told}",
        "creationInfo": {"created": created, "creators": [f"Tool: {tool}"]},
        "packages": [image, *packages],
        "relationships": _relationships(packages),
    }
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _package(package: Package, number: int, system: Mapping[str, str]) -> dict[str, Any]:
    where = quote(system.get("ID", ""), safe="")
    arch = f"?arch={quote(package.arch, safe='')}" if package.arch else ""
    purl = f"pkg:{package.kind}/{where}/{quote(package.name, safe='')}@{quote(package.version, safe='')}{arch}"
    return {
        "SPDXID": f"SPDXRef-package-{number}",
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": "NOASSERTION",
        "filesAnalyzed": False,
        "externalRefs": [{"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl}],
    }


def _relationships(packages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    described = {
        "spdxElementId": "SPDXRef-DOCUMENT",
        "relationshipType": "DESCRIBES",
        "relatedSpdxElement": "SPDXRef-image",
    }
    return [
        described,
        *(
            {
                "spdxElementId": "SPDXRef-image",
                "relationshipType": "CONTAINS",
                "relatedSpdxElement": one["SPDXID"],
            }
            for one in packages
        ),
    ]
