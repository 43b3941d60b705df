# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All images of the corpus: importing this fills the catalogue."""

from __future__ import annotations

from ansible_collections.imageops.fleet.tests.corpus import (
    attacks_others,
    attacks_qcow2,
    attacks_qcow2_tables,
    attacks_virtual_pc,
    attacks_vmdk,
    valid_chains,
    valid_images,
)
from ansible_collections.imageops.fleet.tests.corpus.catalogue import ATTACKS, VALID

MAKERS = (
    attacks_others,
    attacks_qcow2,
    attacks_qcow2_tables,
    attacks_virtual_pc,
    attacks_vmdk,
    valid_chains,
    valid_images,
)
__all__ = ["ATTACKS", "MAKERS", "VALID"]
