# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import ImageManifest, read_manifest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    BLOCK_INDEX,
    CONFIG,
    PACK,
    VARIABLES,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.variables import (
    MOST_VARIABLES,
    Variables,
    read_variables,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError, Unsupported

D = digest_of(b"x")
TOLD = Variables(D, 540672, "qcow2", True)


def test_what_is_told_is_read() -> None:
    assert read_variables({"variables": TOLD.as_dict()}, where="x") == TOLD
    assert read_variables({"variables": {"content": D, "size": 1}}, where="x") == Variables(D, 1)
    for none in ({}, {"variables": {}}, {"variables": None}):
        assert read_variables(none, where="x") is None


@pytest.mark.parametrize(
    "changed",
    [
        {"content": "../../etc"},
        {"content": None},
        {"size": 0},
        {"size": MOST_VARIABLES + 1},
        {"size": True},
        {"size": "9"},
    ],
)
def test_what_can_not_be_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TransferError, match="^x: the UEFI variables"):
        read_variables({"variables": {**TOLD.as_dict(), **changed}}, where="x")
    with pytest.raises(TransferError):
        read_variables({"variables": [1]}, where="x")


def manifest(*layers: Descriptor) -> bytes:
    """One with more layers than there should be."""
    index, *packs = layers
    return ImageManifest(Descriptor(CONFIG, D, 1), index, tuple(packs)).as_bytes()


def test_a_manifest_names_them_last() -> None:
    index, pack, variables = (Descriptor(kind, D, 1) for kind in (BLOCK_INDEX, PACK, VARIABLES))
    made = ImageManifest(Descriptor(CONFIG, D, 1), index, (pack,), variables=variables)
    assert made.layers == (index, pack, variables)
    assert read_manifest(made.as_bytes(), where="x") == made
    assert read_manifest(manifest(index, variables), where="x").packs == ()
    for layers in ((index, variables, pack), (index, variables, variables), (variables,)):
        with pytest.raises(Unsupported, match="parts that this version doesn't know"):
            read_manifest(manifest(*layers), where="x")
