# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import install_network
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import Connection
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.routes import Route
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import get, parse

NAME = "imageops-install-x"


@pytest.fixture
def connection() -> Iterator[Connection]:
    found = Connection.open("test:///default")
    yield found
    install_network.remove(found, NAME)
    found.close()


def test_what_the_network_tells_its_clients() -> None:
    subnet = ipaddress.IPv4Network("192.168.177.0/24")
    root = parse(install_network.network_xml(NAME, subnet, bridge="ioix", root="/served", file="boot.ipxe"))
    assert get(root, "ip/@address") == "192.168.177.1" and get(root, "ip/@netmask") == "255.255.255.0"
    assert get(root, "ip/tftp/@root") == "/served" and get(root, "ip/dhcp/bootp/@file") == "boot.ipxe"
    assert get(root, "ip/dhcp/range/@start") == "192.168.177.2"
    assert get(root, "forward/@mode") == "nat"


def test_it_is_there_for_a_time(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        install_network, "routes", lambda: [Route("eth0", ipaddress.IPv4Network("192.168.176.0/24"), True)]
    )
    for _turn in range(2):
        taken = install_network.serve(connection, NAME, bridge="ioix", root="/served", file="x")
        assert taken == "192.168.177.0/24"
    assert NAME in {network.name for network in connection.networks()}
    install_network.remove(connection, NAME)
    install_network.remove(connection, NAME)
    assert NAME not in {network.name for network in connection.networks()}


def test_addresses_that_the_task_names(connection: Connection) -> None:
    assert (
        install_network.serve(connection, NAME, bridge="b", root="/s", file="x", wanted="10.9.8.0/28") == "10.9.8.0/28"
    )


def test_no_free_addresses(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        install_network, "routes", lambda: [Route("eth0", ipaddress.IPv4Network("192.168.0.0/16"), True)]
    )
    with pytest.raises(Exception, match="no network of 192.168.176.0/20 is free"):
        install_network.serve(connection, NAME, bridge="b", root="/s", file="x")


def test_addresses_taken_in_the_same_moment(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install_network, "_taken", lambda _connection: iter([]))
    monkeypatch.setattr(install_network, "_free", lambda _taken: iter([ipaddress.IPv4Network("10.1.1.0/24")] * 3))

    def refuse(_text: str) -> None:
        raise EngineError("libvirt refused it: Network is already in use by interface eth0.")

    connection.raw = type("Raw", (), {"networkCreateXML": staticmethod(refuse), "networkLookupByName": None})()
    monkeypatch.setattr(install_network, "remove", lambda *_words: None)
    with pytest.raises(EngineError, match="in use"):
        install_network.serve(connection, NAME, bridge="b", root="/s", file="x")
    connection.raw = Connection.open("test:///default").raw


def test_who_serves(tmp_path: Path) -> None:
    (tmp_path / "n.pid").write_text(f"{os.getpid()}\n")
    assert install_network.server_owner("n", str(tmp_path)) == (os.geteuid(), os.getegid())
    assert install_network.server_owner("m", str(tmp_path)) is None
