# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._formats.qcow2_plain import CLUSTER


def test_a_block_is_a_cluster() -> None:
    """So that each block has a place of its own in a qcow2 file."""
    assert CLUSTER == BLOCK_SIZE
