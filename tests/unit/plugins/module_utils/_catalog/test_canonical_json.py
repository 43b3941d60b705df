# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.module_utils._catalog.canonical_json import canonical_json


def test_the_bytes_that_published_digests_name() -> None:
    assert (
        canonical_json({"b": [1, {"z": "ü", "a": None}], "a": True}) == b'{"a":true,"b":[1,{"a":null,"z":"\\u00fc"}]}'
    )
