# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.ip import usable


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8:0::7", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        *[
            (nothing, "")
            for nothing in (
                "", "-oProxyCommand=touch /tmp/x", "web", "192.0.2.7 -oX", "192.0.2.0/24", "{{ 7 * 7 }}", "192.0.2.7\n", "1" * 9999,
                "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "169.254.1.1",
                "fe80::1", "fe80::1%eth0", "2001:db8::1%{{ lookup('pipe', 'id') }}", "2001:db8::1%-oX",
                None, 7, True, b"abcd", ["192.0.2.7"], {},
            )
        ],
    ],
)  # fmt: skip
def test_usable(told: Any, expected: str) -> None:
    assert usable(told) == expected
