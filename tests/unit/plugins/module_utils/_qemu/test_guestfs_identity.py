# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.guestfs_identity import require_host_name


@pytest.mark.parametrize("name", ["a", "web-1.example.org", "a" * 64])
def test_host_names(name: str) -> None:
    require_host_name(name)


@pytest.mark.parametrize("name", ["", "-a", "a_b", "a.", "a" * 65, "web\n", "web\n\n"])
def test_what_no_host_is_called(name: str) -> None:
    with pytest.raises(InvalidOption, match=r"(?s)^name: .* can't be a host name"):
        require_host_name(name)
