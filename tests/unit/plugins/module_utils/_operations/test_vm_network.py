# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InUse,
    InvalidOption,
    NotFound,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, clone, get, parse, put
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    vm_host,
    vm_network_definition,
    vm_network_room,
    vm_network_users,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_network import plan_network
from ansible_collections.imageops.fleet.plugins.module_utils._plan import KNOWN_AFTER, Plan

ROUTES = """Iface	Destination	Gateway	Flags	RefCnt	Use	Metric	Mask	MTU	Window	IRTT
eth0	00000000	0100000A	0003	0	0	0	00000000	0	0	0
eth0	0000000A	00000000	0001	0	0	0	00FFFFFF	0	0	0
"""
INET6 = "fd000001000000000000000000000001 02 40 00 80     eth0\n00000000000000000000000000000001 01 80 10 80       lo\n"
LEASE = {"mac": "52:54:00:AA:00:01", "address": "10.9.0.10", "name": "web"}
SUBNET = {"address": "10.9.0.1/24", "dhcp_start": "10.9.0.100", "dhcp_end": "10.9.0.200"}


class Raw:
    """A network as libvirt keeps it: what is defined, and what runs."""

    def __init__(self, root: Element) -> None:
        self.defined = root
        self.live: Element | None = None
        self.first = 0
        self.updates: list[tuple[int, int, int, str]] = []

    def name(self) -> str:
        return get(self.defined, "name")

    def UUIDString(self) -> str:
        return get(self.defined, "uuid")

    def isActive(self) -> bool:
        return self.live is not None

    def isPersistent(self) -> bool:
        return True

    def autostart(self) -> int:
        return self.first

    def setAutostart(self, value: int) -> None:
        self.first = value

    def XMLDesc(self, flags: int) -> str:
        from xml.etree import ElementTree

        root = self.defined if flags or self.live is None else self.live
        return ElementTree.tostring(root, encoding="unicode")

    def create(self) -> None:
        self.live = clone(self.defined)
        if get(self.live, "forward/@mode") == "nat":
            put(self.live, "forward/nat/port/@start", "1024")
            put(self.live, "forward/nat/port/@end", "65535")

    def destroy(self) -> None:
        self.live = None

    def update(self, command: int, section: int, parent: int, text: str, flags: int) -> None:
        self.updates.append((command, section, parent, text))


class Libvirt:
    """A connection with networks and VMs."""

    uri = "qemu:///system"
    version = (9, 0, 0)

    def __init__(self) -> None:
        self.known: dict[str, Raw] = {}
        self.vms: list[Any] = []

    @property
    def raw(self) -> Libvirt:
        return self

    def listAllNetworks(self, flags: int) -> list[Raw]:
        return list(self.known.values())

    def networkLookupByName(self, name: str) -> Raw:
        if name not in self.known:
            raise NotFound(f"There is no network called {name}.")
        return self.known[name]

    def networks(self) -> list[Any]:
        return []

    def networkDefineXMLFlags(self, text: str, flags: int) -> Raw:
        return self.networkDefineXML(text)

    def networkDefineXML(self, text: str) -> Raw:
        root = parse(text)
        name = get(root, "name")
        put(root, "uuid", get(root, "uuid") or f"uuid-of-{name}")
        if get(root, "forward/@mode") != "bridge" and not get(root, "bridge/@name"):
            put(root, "bridge/@name", f"virbr{len(self.known)}")
        # libvirt writes some of what it is given in its own way.
        for element in root.iter("inbound"):
            element.attrib.pop("floor", None)
        if name in self.known:
            self.known[name].defined = root
        else:
            self.known[name] = Raw(root)
        return self.known[name]

    def domains(self) -> list[Any]:
        return self.vms

    def close(self) -> None:
        pass


class Vm:
    def __init__(self, name: str, network: str, *, active: bool = True) -> None:
        self.name, self.active, self._network = name, active, network

    def xml(self, *, inactive: bool = True) -> Element:
        return parse(
            f"<domain><devices><interface><source network='{self._network}'/><target dev='vnet7'/></interface></devices></domain>"
        )


@pytest.fixture
def libvirt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Libvirt:
    for name in ("eth0", "br0/bridge"):
        (tmp_path / "net" / name).mkdir(parents=True)
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/route").write_text(ROUTES)
    (tmp_path / "proc/if_inet6").write_text(INET6)
    for module in (vm_network_room, vm_network_users):
        monkeypatch.setattr(module, "INTERFACES", str(tmp_path / "net"))
    monkeypatch.setattr(vm_network_room, "PROC", str(tmp_path / "proc"))
    monkeypatch.setattr(vm_network_room, "require_bridge", lambda name, option: None)
    monkeypatch.setattr(vm_network_definition, "is_linux_bridge", lambda name: name == "br0")
    monkeypatch.setattr(vm_host, "is_linux_bridge", lambda name: name == "br0")
    return Libvirt()


@pytest.fixture
def tools(libvirt: Libvirt) -> Iterator[Tools]:
    found = Tools(connect=lambda uri: libvirt)  # type: ignore[arg-type,return-value]
    yield found
    found.close()


def plan(tools: Tools, **given: Any) -> Plan:
    tools.forecast.clear()
    return plan_network(
        {"name": "shop", "state": "running", "uri": "qemu:///system", "restart": "unused", **given}, tools
    )


def run(tools: Tools, **given: Any) -> dict[str, Any]:
    planned = plan(tools, **given)
    for step in planned.steps:
        step.run()
    assert not plan(tools, **given).steps or planned.warnings
    return planned.observe()


def steps(planned: Plan) -> list[str]:
    return [step.title for step in planned.steps]


def test_a_network_is_made_started_and_found_again(tools: Tools, libvirt: Libvirt) -> None:
    asked = {
        "mode": "nat", "addresses": [{**SUBNET, "leases": [LEASE]}, {"address": "fd00:9::1/64"}], "domain": "shop.example",
        "domain_local": True, "dns_hosts": [{"address": "10.9.0.5", "names": ["b", "a"]}], "dns_forwarders": ["10.0.0.53"],
        "mtu": 1400, "autostart": True, "forward_dev": "eth0",
    }  # fmt: skip
    planned = plan(tools, **asked)
    assert steps(planned) == ["define shop", "start shop", "start with the host: shop"]
    foretold = planned.foretell() if planned.foretell else {}
    found = run(tools, **asked)
    assert {**foretold, "uuid": found["uuid"], "bridge": found["bridge"]} == found
    assert (foretold["uuid"], foretold["bridge"]) == (KNOWN_AFTER, KNOWN_AFTER)
    assert found["addresses"][0]["leases"] == [{**LEASE, "mac": LEASE["mac"].lower(), "id": ""}]
    assert found["dns_hosts"] == [{"address": "10.9.0.5", "names": ["a", "b"]}]
    assert (found["state"], found["autostart"], found["restart_required"]) == ("running", True, False)
    assert libvirt.known["shop"].first == 1


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", "routed"), ("mode", "isolated"), ("addresses", []), ("domain", ""), ("mtu", 0), ("dns", False), ("dns_hosts", []),
        ("addresses", [{"address": "10.8.0.1/24"}]), ("bridge", "virbr-shop"), ("forward_dev", ""),
    ],
)  # fmt: skip
def test_each_option_is_changed_alone(tools: Tools, option: str, value: Any) -> None:
    before = run(
        tools,
        state="present",
        mode="nat",
        addresses=[SUBNET],
        domain="x.example",
        mtu=1400,
        dns_hosts=[{"address": "10.9.0.5", "names": ["a"]}],
    )
    after = run(tools, state="present", **{option: value})
    expected = (
        {"addresses": [{"leases": [], "dhcp_start": "", "dhcp_end": "", **each} for each in value]}
        if option == "addresses"
        else {option: value}
    )
    assert after == {**before, **expected}


def test_what_is_not_declared_stays(tools: Tools, libvirt: Libvirt) -> None:
    root = parse(
        "<network ipv6='yes'><name>shop</name><uuid>u</uuid><bridge name='virbr5' stp='on'/><dns><txt name='a' value='b'/></dns>"
        "<ip address='10.9.0.1' netmask='255.255.255.0'><tftp root='/x'/><dhcp><range start='10.9.0.2' end='10.9.0.9'><lease expiry='0'/></range>"
        "<bootp file='pxe'/></dhcp></ip></network>"
    )
    libvirt.known["shop"] = Raw(root)
    run(
        tools,
        addresses=[{"address": "10.9.0.1/24", "dhcp_start": "10.9.0.2", "dhcp_end": "10.9.0.9", "leases": [LEASE]}],
        dns_hosts=[],
    )
    found = libvirt.known["shop"].defined
    assert get(found, "dns/txt/@value") == "b"
    assert (get(found, "ip/tftp/@root"), get(found, "ip/dhcp/bootp/@file")) == ("/x", "pxe")
    assert (get(found, "ip/@netmask"), get(found, "ip/dhcp/range/lease/@expiry")) == ("255.255.255.0", "0")
    assert get(found, "ip/dhcp/host/@name") == "web"


def test_leases_and_names_come_without_a_restart(tools: Tools, libvirt: Libvirt) -> None:
    run(tools, addresses=[{**SUBNET, "leases": [LEASE]}])
    libvirt.vms = [Vm("web", "shop")]
    planned = plan(
        tools,
        addresses=[{**SUBNET, "dhcp_end": "10.9.0.150", "leases": [{**LEASE, "address": "10.9.0.11"}]}],
        dns_hosts=[{"address": "10.9.0.5", "names": ["a"]}],
    )
    assert steps(planned) == [
        "redefine shop",
        "remove the range 10.9.0.100 10.9.0.200 in shop",
        "remove the lease 52:54:00:aa:00:01 web 10.9.0.10 in shop",
        "add the name 10.9.0.5 in shop",
        "add the range 10.9.0.100 10.9.0.150 in shop",
        "add the lease 52:54:00:aa:00:01 web 10.9.0.11 in shop",
    ]
    for step in planned.steps:
        step.run()
    assert [(command, parent) for command, _section, parent, _text in libvirt.known["shop"].updates] == [
        (2, 0),
        (2, 0),
        (3, -1),
        (3, 0),
        (3, 0),
    ]
    assert libvirt.known["shop"].updates[2][3] == '<host ip="10.9.0.5"><hostname>a</hostname></host>'


def test_what_takes_a_restart_waits_for_users_unless_told(tools: Tools, libvirt: Libvirt) -> None:
    run(tools, addresses=[SUBNET])
    libvirt.vms = [Vm("web", "shop"), Vm("off", "shop", active=False), Vm("other", "default")]
    planned = plan(tools, mtu=1400)
    assert steps(planned) == ["redefine shop"]
    assert planned.warnings == (
        "The network shop runs with its old mtu, since the VM web is on it; the change takes effect when it is started again (restart: always).",
    )
    for step in planned.steps:
        step.run()
    again = plan(tools, mtu=1400)
    assert (steps(again), again.observe()["restart_required"]) == ([], True)
    assert steps(plan(tools, mtu=1400, restart="never")) == []
    always = plan(tools, mtu=1400, restart="always")
    assert steps(always) == ["restart shop"]
    assert "while the VM web is on it" in always.warnings[0]
    libvirt.vms = []
    assert run(tools, mtu=1400)["restart_required"] is False


def test_a_vm_that_was_started_meanwhile_keeps_its_network(tools: Tools, libvirt: Libvirt) -> None:
    run(tools, addresses=[SUBNET])
    planned = plan(tools, mtu=1400)
    removal = plan(tools, state="absent")
    libvirt.vms = [Vm("web", "shop")]
    with pytest.raises(InUse, match="can't be restarted: the VM web is on it"):
        planned.steps[1].run()
    with pytest.raises(InUse, match="can't be removed"):
        removal.steps[0].run()


def test_taps_go_back_to_the_bridge(
    tools: Tools, libvirt: Libvirt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tools, addresses=[SUBNET])
    libvirt.vms = [Vm("web", "shop")]
    (tmp_path / "net/vnet7").mkdir()
    (tmp_path / "net" / get(libvirt.known["shop"].defined, "bridge/@name") / "brif").mkdir(parents=True)
    ran: list[list[str]] = []
    monkeypatch.setattr(tools.commands, "output", ran.append)
    for step in plan(tools, mtu=1400, restart="always").steps:
        step.run()
    assert ran == [["ip", "link", "set", "dev", "vnet7", "master", "virbr0"]]
    # What a run left that was killed before it came to that.
    (tmp_path / "net/vnet7/tun_flags").touch()
    left = plan(tools, mtu=1400)
    assert steps(left) == ["plug web in again on shop"]
    left.steps[0].run()
    assert ran[1:] == ran[:1]


def test_xml_is_merged_and_what_libvirt_rewrites_is_no_difference(tools: Tools) -> None:
    xml = "<network><portgroup name='slow'><bandwidth><inbound average='1000' floor='5'/></bandwidth></portgroup></network>"
    run(tools, state="present", addresses=[SUBNET], xml=xml)
    assert steps(plan(tools, state="present", addresses=[SUBNET], xml=xml)) == []
    assert steps(plan(tools, state="present", xml=xml.replace("1000", "2000"))) == ["redefine shop"]


def test_absent(tools: Tools, libvirt: Libvirt) -> None:
    run(tools, addresses=[SUBNET])
    libvirt.vms = [Vm("off", "shop", active=False)]
    with pytest.raises(InUse, match="The network shop can't be removed: the VM off is on it"):
        plan(tools, state="absent")
    with pytest.raises(InUse, match="can't be stopped"):
        libvirt.vms = [Vm("web", "shop")]
        plan(tools, state="stopped")
    libvirt.vms = []
    assert steps(plan(tools, state="absent")) == ["remove shop"]
    assert steps(plan(tools, state="absent", name="nobody")) == []


def test_a_network_on_a_bridge_of_the_host(tools: Tools, libvirt: Libvirt) -> None:
    found = run(tools, mode="bridge", bridge="br0")
    assert (found["mode"], found["bridge"], found["addresses"]) == ("bridge", "br0", [])
    run(tools, name="ovs", mode="bridge", bridge="ovsbr", vlan=7)
    root = libvirt.known["ovs"].defined
    assert (get(root, "virtualport/@type"), get(root, "vlan/tag/@id")) == ("openvswitch", "7")
    back = run(tools, name="ovs", mode="isolated", addresses=[SUBNET], vlan=0)
    assert (back["mode"], back["vlan"], back["bridge"]) == ("isolated", 0, "virbr2")


def subnet(**more: Any) -> dict[str, Any]:
    return {"addresses": [{**SUBNET, **more}]}


@pytest.mark.parametrize(
    ("asked", "kind", "said"),
    [
        ({"name": "a b"}, InvalidOption, "can't name a network"),
        ({"uri": "qemu+ssh://other/system"}, ImageOpsError, "remote host other"),
        ({"bridge": "virbr-much-too-long"}, InvalidOption, "has 19 characters, and an interface's name has 15"),
        ({"bridge": "a/b"}, InvalidOption, "no name of an interface"),
        ({"bridge": "eth0"}, Conflict, "has an interface called eth0 already"),
        ({"bridge": "virbr0"}, Conflict, "the bridge of the network there"),
        ({"mode": "nat", "forward_dev": "eth7"}, NotFound, "no interface called eth7"),
        ({"forward_dev": "eth0"}, InvalidOption, "forwards nothing"),
        ({"vlan": 7}, InvalidOption, "only a network on a bridge"),
        ({"vlan": 5000, "mode": "bridge", "bridge": "br0"}, InvalidOption, "no VLAN"),
        ({"vlan": 7, "mode": "bridge", "bridge": "br0"}, ImageOpsError, "carries no tags"),
        ({"mode": "bridge"}, InvalidOption, "needs the name of a bridge"),
        ({"mode": "bridge", "bridge": "br0", "mtu": 1400}, InvalidOption, "mtu: a network on a bridge of the host"),
        ({"mtu": 10}, InvalidOption, "no size of packets"),
        ({"domain": "-x"}, InvalidOption, "no name of DNS"),
        ({"domain_local": True}, InvalidOption, "give domain"),
        ({"dns": False, "dns_forwarders": ["10.0.0.1"]}, InvalidOption, "without a DNS server"),
        ({"dns_forwarders": ["x"]}, InvalidOption, "'x' is not an IP address"),
        ({"dns_hosts": [{"address": "10.9.0.5", "names": []}]}, InvalidOption, "nothing is given"),
        ({"addresses": [{"address": "10.9.0.1"}]}, InvalidOption, "not an address with a prefix"),
        ({"addresses": [{"address": "10.9.0.0/24"}]}, InvalidOption, "can't be the host's address"),
        ({"addresses": [{"address": "10.9.0.1/31"}]}, InvalidOption, "no room for guests"),
        ({"addresses": [{"address": "10.9.0.1/24"}, {"address": "10.9.0.9/16"}]}, InvalidOption, "overlap"),
        (subnet(dhcp_end=None), InvalidOption, "belong together"),
        (subnet(dhcp_end="10.9.1.9"), InvalidOption, "outside of 10.9.0.0/24"),
        (subnet(dhcp_end="10.9.0.2"), InvalidOption, "ends before it begins"),
        (subnet(dhcp_end="10.9.0.255"), InvalidOption, "no guest can have"),
        (subnet(leases=[{"address": "10.8.0.9", "name": "a"}]), InvalidOption, "outside of"),
        (subnet(leases=[{"address": "10.9.0.1", "name": "a"}]), InvalidOption, "the host's own address"),
        (subnet(leases=[{"address": "10.9.0.9"}]), InvalidOption, "known by mac or name"),
        (subnet(leases=[{"address": "10.9.0.9", "mac": "01:00:00:00:00:01"}]), InvalidOption, "no unicast MAC"),
        (subnet(leases=[LEASE, LEASE]), InvalidOption, "declared twice"),
        ({"addresses": [{"address": "fd00::1/48", "dhcp_start": "fd00::5", "dhcp_end": "fd00::9"}]}, InvalidOption, "shorter than /64"),
        ({"addresses": [{"address": "10.0.0.9/25"}]}, Conflict, "10.0.0.0/24 of the host's interface eth0"),
        ({"addresses": [{"address": "fd00:1::9/64"}]}, Conflict, "of the host's interface eth0"),
        ({"addresses": [{"address": "10.7.1.1/24"}]}, Conflict, "10.7.0.0/16 of the network there"),
        ({"xml": "<domain/>"}, InvalidOption, "a network's is <network>"),
        ({"xml": "<network><name>x</name></network>"}, InvalidOption, "use one name"),
        ({"xml": "<network><mtu size='9'/></network>", "mtu": 1400}, InvalidOption, "don't agree"),
        ({"xml": "<network><mtu size='x'/></network>"}, InvalidOption, "a value that a network can't have"),
        ({"xml": "<!DOCTYPE x><network/>"}, ImageOpsError, "document type"),
    ],
)  # fmt: skip
def test_what_is_refused(tools: Tools, asked: dict[str, Any], kind: type[Exception], said: str) -> None:
    run(tools, name="there", addresses=[{"address": "10.7.0.1/16"}])
    with pytest.raises(kind, match=said):
        plan(tools, **asked)


def test_items_of_one_task_do_not_collide(tools: Tools) -> None:
    plan(tools, addresses=[SUBNET])
    common = {"state": "running", "uri": "qemu:///system", "restart": "unused"}
    with pytest.raises(Conflict, match="of the network shop"):
        plan_network({**common, "name": "other", "addresses": [SUBNET]}, tools)
    with pytest.raises(InvalidOption, match="named twice"):
        plan_network({**common, "name": "shop"}, tools)
