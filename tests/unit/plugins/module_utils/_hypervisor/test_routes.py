# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
import sys
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.routes import Route, routes


def test_a_host_without_routes(tmp_path: Path) -> None:
    assert list(routes(str(tmp_path))) == []


@pytest.mark.skipif(sys.byteorder != "little", reason="the table below is one of such a machine")
def test_routes_that_lead_to_a_network(tmp_path: Path) -> None:
    (tmp_path / "route").write_text(
        "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n"
        "eth0 00000000 0100000A 0003 0 0 0 00000000 0 0 0\n"
        "eth0 007AA8C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n"
        "eth0 0000000A 017AA8C0 0003 0 0 0 000000FF 0 0 0\n"
    )
    assert list(routes(str(tmp_path))) == [
        Route("eth0", ipaddress.IPv4Network("192.168.122.0/24"), True),
        Route("eth0", ipaddress.IPv4Network("10.0.0.0/8"), False),
    ]
