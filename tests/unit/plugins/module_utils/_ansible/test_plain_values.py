# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.plain_values import require_plain
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.vm_spec import VM, VM_INFO
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption

YEAR = 365 * 86400
HUGE = 10**400


@pytest.mark.parametrize(
    "params",
    [
        {"timeout": 0, "lock_timeout": YEAR, "lease_timeout": -1, "name": "web", "names": None, "force": True},
        {"labels": {"timeout": -1}, "cloud_init": {"user_data": {"a": "\0", "timeout": -1}}, "limit": HUGE},
    ],
)
def test_what_passes(params: dict[str, Any]) -> None:
    require_plain(params)


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"uri": "qemu:///\0"}, "uri: it holds a NUL character"),
        ({"search_paths": ["/a", "/b\0"]}, r"search_paths\[1\]: it holds a NUL"),
        ({"vms": [{"name": "a"}, {"name": "b\0"}]}, r"vms\[1\]\.name: it holds a NUL"),
        ({"timeout": -1}, f"timeout: -1 seconds can't be waited; give 0 or more, at most {YEAR}"),
        ({"shutdown_timeout": -5}, "shutdown_timeout: -5 seconds can't"),
        ({"wait_for": {"timeout": -1}}, r"wait_for\.timeout: -1 seconds can't"),
        ({"vms": [{"wait_for": {"timeout": HUGE}}]}, r"vms\[0\]\.wait_for\.timeout: so many seconds can't"),
        ({"quiesce_timeout": YEAR + 1}, f"quiesce_timeout: {YEAR + 1} seconds can't"),
    ],
)
def test_what_is_refused(params: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidOption, match=f"^{says}"):
        require_plain(params)


def test_all_modules_refuse_it() -> None:
    nothing = dict.fromkeys(VM.argument_spec)
    with pytest.raises(InvalidOption, match=r"^vms\[0\]\.name: "):
        VM.items({**nothing, "vms": [{"name": "\0"}]})
    with pytest.raises(InvalidOption, match="^name: "):
        VM_INFO.items({"name": "\0"})
