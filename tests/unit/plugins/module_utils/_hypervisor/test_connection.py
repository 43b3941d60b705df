# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    EngineError,
    InvalidOption,
    MissingLibrary,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import host
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import (
    Connection,
    Network,
    Pool,
    require_local,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.domain import Domain
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.library import library
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import (
    IMAGEOPS,
    Element,
    get,
    put,
    serialise,
)

URI = "test:///default"


@pytest.fixture
def connection() -> Iterator[Connection]:
    found = Connection.open(URI)
    yield found
    found.close()


def test_what_a_host_has(connection: Connection) -> None:
    assert connection.version >= (8, 0, 0)
    assert connection.pools() == [Pool("default-pool", "/default-pool", True, "dir")]
    assert connection.networks() == [Network("default", "virbr0", True)]
    assert [domain.name for domain in connection.domains()] == ["test"]
    assert connection.domain("nobody") is None


def test_what_went_while_it_was_listed_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others work on the same host."""
    (tmp_path / "host.xml").write_text(
        "<node><network><name>lan</name></network><pool type='dir'><name>images</name><target><path>/i</path></target></pool></node>",
        encoding="ascii",
    )
    connection = Connection.open(f"test://{tmp_path}/host.xml")
    assert [one.name for one in (*connection.networks(), *connection.pools())] == ["lan", "images"]
    networks, pools = connection.raw.listAllNetworks(0), connection.raw.listAllStoragePools(0)
    for raw in (*networks, *pools):
        raw.destroy()
        raw.undefine()
    found = library().virConnect
    monkeypatch.setattr(found, "listAllNetworks", lambda raw, flags: networks)
    monkeypatch.setattr(found, "listAllStoragePools", lambda raw, flags: pools)
    assert connection.networks() == []
    assert connection.pools() == []
    assert host.pools(connection) == []
    connection.close()


def test_life_of_a_domain(connection: Connection) -> None:
    test = connection.domain("test")
    assert test is not None
    root = test.xml()
    put(root, "name", "web")
    put(root, "uuid", None)
    domain = connection.define(serialise(root))
    assert (domain.state, domain.active, domain.persistent, domain.autostart) == ("stopped", False, True, False)
    domain.set_autostart(True)
    assert domain.autostart
    for act, state in (
        (domain.start, "running"),
        (domain.suspend, "paused"),
        (domain.resume, "running"),
        (domain.destroy, "stopped"),
    ):
        act()
        assert domain.state == state
    assert [(disk.target, disk.path) for disk in domain.disks()] == [("vda", "/guest/diskimage1")]
    domain.undefine()
    assert connection.domain("web") is None


def defined(connection: Connection, name: str) -> Domain:
    test = connection.domain("test")
    assert test is not None
    root = test.xml()
    put(root, "name", name)
    put(root, "uuid", None)
    return connection.define(serialise(root))


def test_one_look_tells_of_many_domains_once(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    web = defined(connection, "web")
    web.set_autostart(True)
    connection.look_at(["web", "test", "nobody"])
    with monkeypatch.context() as patched:
        patched.setattr(connection.raw, "lookupByName", None)
        for asked in ("state", "isActive", "autostart", "XMLDesc"):
            patched.setattr(type(web.raw), asked, None)
        looked = [seen for seen in map(connection.seen, ("web", "test")) if seen]
        told = [(seen.name, seen.state, seen.active, seen.autostart) for seen in looked]
        described = [
            get(seen.xml(inactive=inactive), "name") for seen in looked for inactive in (True, False)[: 1 + seen.active]
        ]
    assert told == [("web", "stopped", False, True), ("test", "running", True, False)]
    assert described == ["web", "test", "test"]
    web.set_autostart(False)
    web.start()
    again = connection.seen("web")
    assert again is not None and (again.state, again.active, again.autostart) == ("running", True, False)
    assert again.disks(inactive=True) == web.disks(inactive=True)
    assert connection.seen("nobody") is None
    web.destroy()
    web.undefine()


def test_an_engine_without_a_look_at_all_is_asked_for_each(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(flags: int) -> None:
        error = library().libvirtError("this function is not supported")
        error.err = (3, 12, "this function is not supported", 2, "", None, None, -1, -1)
        raise error

    monkeypatch.setattr(connection.raw, "getAllDomainStats", refuse)
    connection.look_at(["test"])
    seen = connection.seen("test")
    assert seen is not None and (seen.state, seen.active, seen.autostart) == ("running", True, False)


def test_what_went_while_it_was_looked_at_is_asked_for_alone(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    defined(connection, "web")
    listed = connection.raw.getAllDomainStats

    def go(flags: int) -> object:
        found = listed(flags)
        for raw, _facts in found:
            if raw.name() == "web":
                raw.undefine()
        return found

    monkeypatch.setattr(connection.raw, "getAllDomainStats", go)
    connection.look_at(["web", "test"])
    assert connection.seen("web") is None
    assert connection.seen("test") is not None


def test_our_metadata(connection: Connection) -> None:
    test = connection.domain("test")
    assert test is not None and test.metadata() is None
    element = Element(f"{{{IMAGEOPS}}}vm")
    put(element, "@note", "x")
    test.set_metadata(element)
    found = test.metadata()
    assert found is not None and found.get("note") == "x"


def test_an_error_is_one_sentence_and_quiet(connection: Connection, capfd: pytest.CaptureFixture[str]) -> None:
    test = connection.domain("test")
    assert test is not None
    with pytest.raises(EngineError, match=r"^libvirt refused starting the domain test: .*\.$") as caught:
        test.start()
    assert caught.value.details["libvirt_code"]
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("uri", "kind", "says"),
    [("default", InvalidOption, "is not a libvirt URI"), ("test:///nowhere", EngineError, "check that libvirtd")],
)
def test_open_refuses(uri: str, kind: type[Exception], says: str) -> None:
    with pytest.raises(kind, match=says):
        Connection.open(uri)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    library.cache_clear()
    monkeypatch.setitem(sys.modules, "libvirt", None)
    with pytest.raises(MissingLibrary, match="python3-libvirt, .* libvirt-python"):
        Connection.open(URI)


@pytest.mark.parametrize(
    ("uri", "local"),
    [
        ("qemu:///system", True),
        ("qemu:///session", True),
        ("qemu+unix:///system?socket=/run/x", True),
        ("qemu+ssh://root@other/system", False),
        ("qemu+tls://other/system", False),
    ],
)
def test_files_are_on_the_own_host(uri: str, local: bool) -> None:
    if local:
        require_local(uri)
    else:
        with pytest.raises(Unsupported, match="names the remote host"):
            require_local(uri)


def test_leases_hold_addresses_only() -> None:
    class Leased:
        def DHCPLeases(self) -> list[dict[str, str]]:
            return [{"mac": "52:54:00:AA:BB:01", "ipaddr": told} for told in ("192.0.2.7", "-oX", "127.0.0.1")]

    class Raw:
        def listAllNetworks(self, flags: int) -> list[Leased]:
            return [Leased()]

    assert Connection(Raw(), URI).leases() == {"52:54:00:aa:bb:01": ["192.0.2.7"]}
