# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every valid image is accepted, and its facts are QEMU's."""

from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.tests.corpus.catalogue import Valid
from ansible_collections.imageops.fleet.tests.corpus.images import VALID
from ansible_collections.imageops.fleet.tests.corpus.opinions import chain_of, ours, qemu_facts
from ansible_collections.imageops.fleet.tests.corpus.shop import Shop

# Valid images of which QEMU says something else, or nothing, and why.
DIFFERENT: dict[str, str] = {}

each_image = pytest.mark.parametrize("image", VALID, ids=lambda image: image.name)


@each_image
def test_it_is_accepted(image: Valid, shop: Shop) -> None:
    path = shop.build(image.name, image.make)
    found = ours(path, image.format, backing=[path.parent / name for name in image.backing])
    assert found.accepted, found.reasons


@each_image
def test_format_and_size_are_those_that_qemu_tells(image: Valid, shop: Shop) -> None:
    path = shop.build(image.name, image.make)
    facts = chain_of(path, image.format)[0].facts
    told = qemu_facts(path, image.format)
    same = ({"vpc": "vhd"}.get(told["format"], told["format"]), told["virtual-size"]) == (
        facts.format,
        facts.virtual_size,
    )
    assert same == (image.name not in DIFFERENT), (told, facts.virtual_size)


@each_image
def test_another_format_is_a_contradiction(image: Valid, shop: Shop) -> None:
    """Also raw: nothing but raw is raw."""
    path = shop.build(image.name, image.make)
    for other in {"raw", "qcow2", "vmdk", "vdi"} - {image.format}:
        assert not ours(path, other, backing=[path.parent / name for name in image.backing]).accepted


def test_there_are_enough_of_all_formats() -> None:
    assert {image.format for image in VALID} == {"raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed", "luks"}
    assert len(VALID) >= 80
