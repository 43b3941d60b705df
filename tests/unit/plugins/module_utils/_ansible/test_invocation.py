# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.imageops.fleet.plugins.module_utils._ansible.invocation import given


def test_what_items_left_out_is_not_told() -> None:
    disk = {"path": "/a", "size": None, "readonly": False}
    params = {
        "name": None,
        "parallel": 8,
        "labels": {"tier": None},
        "vms": [{"name": "a", "uri": None, "disks": [disk]}],
    }
    assert given(params) == {**params, "vms": [{"name": "a", "disks": [{"path": "/a", "readonly": False}]}]}
    assert disk["size"] is None


def test_lists_of_anything() -> None:
    assert given({"paths": ["/a", None], "pins": [[1, None]], "vms": None}) == {
        "paths": ["/a", None],
        "pins": [[1, None]],
        "vms": None,
    }
