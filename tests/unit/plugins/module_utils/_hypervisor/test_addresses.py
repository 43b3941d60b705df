# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import addresses
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, parse

MAC, OTHER = "52:54:00:00:00:01", "02:42:00:00:00:01"


class Guest:
    """A VM with one interface; by libvirt's number of a source what it knows."""

    name = "web"

    def __init__(self, known: dict[int, list[str]]) -> None:
        self.raw, self.known = self, known

    def xml(self, *, inactive: bool) -> Element:
        return parse(f"<domain><devices><interface><mac address='{MAC.upper()}'/></interface></devices></domain>")

    def interfaceAddresses(self, source: int, flags: int) -> dict[str, Any]:
        told = [{"addr": each, "type": 0, "prefix": 24} for each in self.known.get(source, [])]
        return {"vnet0": {"addrs": told or None, "hwaddr": MAC}}


@pytest.mark.parametrize(
    ("by", "known", "told", "expected"),
    [
        ("lease", {0: ["192.0.2.1"]}, {}, ["192.0.2.1"]),
        ("arp", {0: ["192.0.2.1"], 2: ["192.0.2.2"]}, {}, ["192.0.2.2"]),
        (
            "agent",
            {},
            {MAC: ["2001:db8::1", "192.0.2.3", "192.0.2.3"], OTHER: ["172.17.0.1"]},
            ["192.0.2.3", "2001:db8::1"],
        ),
        ("any", {0: ["192.0.2.1"], 2: ["192.0.2.2"]}, {MAC: ["192.0.2.3"]}, ["192.0.2.1"]),
        ("any", {2: ["192.0.2.2"]}, {MAC: ["192.0.2.3"]}, ["192.0.2.3"]),
        ("any", {0: ["fe80::1"], 2: ["192.0.2.2"]}, None, ["192.0.2.2"]),
        ("any", {}, None, []),
        ("any", {0: ["text", "127.0.0.1"]}, {MAC: ["-oProxyCommand=x", "192.0.2.3"]}, ["192.0.2.3"]),
        (
            "agent",
            {},
            {MAC: [f"2001:db8::{each:x}" for each in range(1, 999)]},
            [f"2001:db8::{each:x}" for each in range(1, 257)],
        ),
    ],
)
def test_ways(
    monkeypatch: pytest.MonkeyPatch,
    by: str,
    known: dict[int, list[str]],
    told: dict[str, list[str]] | None,
    expected: list[str],
) -> None:
    def interfaces(domain: Any) -> dict[str, list[str]]:
        if told is None:
            raise Unsupported("no agent")
        return told

    monkeypatch.setattr(addresses.agent, "interfaces", interfaces)
    monkeypatch.setattr(addresses, "NEIGHBOURS", "/dev/null")
    assert addresses.addresses(Guest(known), by) == expected  # type: ignore[arg-type]


def test_the_kernels_table_of_neighbours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = tmp_path / "arp"
    table.write_text(
        "IP address       HW type     Flags       HW address            Mask     Device\n"
        f"192.0.2.7        0x1         0x2         {MAC}     *        virbr0\n"
        f"192.0.2.8        0x1         0x0         {MAC}     *        virbr0\n"
        f"192.0.2.9        0x1         0x2         {OTHER}     *        virbr0\n"
    )
    monkeypatch.setattr(addresses, "NEIGHBOURS", str(table))
    assert addresses.addresses(Guest({}), "arp") == ["192.0.2.7"]  # type: ignore[arg-type]

    def broken(domain: Any, source: int = 0) -> list[str]:
        raise EngineError("internal error: wrong nlmsg len")

    monkeypatch.setattr(addresses, "_by_host", broken)
    assert addresses.addresses(Guest({}), "arp") == ["192.0.2.7"]  # type: ignore[arg-type]
