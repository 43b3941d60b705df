# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Container images as far as a containerDisk needs them: the manifest for this machine, and its layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._errors import NotFound, TransferError
from .digest import Descriptor, read_descriptor
from .media_types import INDEXES, MANIFESTS

_MOST_ENTRIES = 4096
# The kernel's names of processors, and those that containers' tools use.
_PROCESSORS = {"x86_64": "amd64", "aarch64": "arm64", "ppc64le": "ppc64le", "s390x": "s390x", "riscv64": "riscv64"}


def is_index(manifest: Mapping[str, Any]) -> bool:
    """Whether it lists manifests for several machines."""
    return manifest.get("mediaType") in INDEXES or isinstance(manifest.get("manifests"), list)


def manifest_for(index: Mapping[str, Any], machine: str, *, where: str) -> str:
    """The digest of the manifest for Linux on a processor that the kernel calls `machine`; raises NotFound."""
    entries, wanted = index.get("manifests"), _PROCESSORS.get(machine, machine)
    if not isinstance(entries, list) or len(entries) > _MOST_ENTRIES:
        raise TransferError(f"{where}: the index's manifests are no list of a sensible length.")
    for entry in entries:
        found = read_descriptor(entry, where=where)
        platform = entry.get("platform")
        if isinstance(platform, dict) and (platform.get("os"), platform.get("architecture")) == ("linux", wanted):
            return found.digest
    raise NotFound(f"{where}: the image has nothing for linux on {wanted}.")


def layers_of(manifest: Mapping[str, Any], *, where: str) -> list[Descriptor]:
    """The layers of a container's image, the top one first."""
    layers = manifest.get("layers")
    if manifest.get("mediaType", MANIFESTS[0]) not in MANIFESTS or not isinstance(layers, list):
        raise TransferError(f"{where}: this is neither an image of imageops.fleet nor one of a container.")
    if not 1 <= len(layers) <= _MOST_ENTRIES:
        raise TransferError(f"{where}: the manifest's layers are no list of a sensible length.")
    return [read_descriptor(layer, where=where) for layer in reversed(layers)]
