# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _files
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InvalidOption,
    NoSpace,
    NotFound,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import tuning
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.acceleration import Acceleration
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import get, parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains, vm_define, vm_platform
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm import plan_vm
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan

DEFAULTS: dict[str, Any] = {
    "name": "plat", "state": "present", "uri": "test:///default", "shutdown_timeout": 0, "force_stop": True,
    "remove_disks": False, "memory": "64MiB", "disks": [],
}  # fmt: skip
# What each wish gets where KVM works.
KINDS = {"auto": "kvm", "kvm": "kvm", "tcg": "tcg"}
MAC = "<mac address='52:54:00:00:00:aa'/>"
ON_DEFAULT: dict[str, Any] = {"networks": [{"network": "default", "mac": "52:54:00:00:00:aa"}]}


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Tools]:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    monkeypatch.setenv(_files.STATE_VARIABLE, str(tmp_path / "state"))
    found = Tools(version="1")
    yield found
    for domain in found.hypervisor("test:///default").domains():
        if domain.name != "test":
            if domain.active:
                domain.destroy()
            domain.undefine()
    found.close()


@pytest.fixture
def able(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that has it all."""
    for name in ("has_uefi", "has_secure_boot", "has_tpms"):
        monkeypatch.setattr(vm_platform, name, lambda connection: True)
    monkeypatch.setattr(vm_platform, "has_enrolled_keys", lambda arch: True)
    monkeypatch.setattr(vm_platform, "enlightenments", lambda connection, kind: frozenset({"relaxed"}))


def plan(tools: Tools, *, fresh: bool = True, **given: Any) -> Plan:
    if fresh:
        tools.forecast.clear()
    return plan_vm({**DEFAULTS, **given}, tools)


def titles_twice(tools: Tools, **given: Any) -> tuple[list[str], list[str]]:
    """The steps of the first run, and of the second."""
    first = plan(tools, **given)
    for step in first.steps:
        step.run()
    return [step.title for step in first.steps], [step.title for step in plan(tools, **given).steps]


def described(tools: Tools, name: str = "plat") -> Any:
    domain = tools.hypervisor("test:///default").domain(name)
    assert domain is not None
    return domain.xml()


@pytest.mark.parametrize(
    ("given", "path", "value"),
    [
        ({"cpu_pinning": ["0"]}, "cputune/vcpupin[@vcpu='0']/@cpuset", "0"),
        ({"cpu_pinning": {0: 0}}, "cputune/vcpupin[@vcpu='0']/@cpuset", "0"),
        (
            {"xml": "<domain><memtune><hard_limit unit='GiB'>1</hard_limit></memtune></domain>"},
            "memtune/hard_limit",
            "1048576",
        ),
        ({"xml": "<domain><on_crash>restart</on_crash></domain>"}, "on_crash", "restart"),
        ({"labels": {"tier": "web", "n": 3}}, "name", "plat"),
        ({"description": "one\r\ntwo\rthree\n"}, "description", "one\ntwo\nthree"),
    ],
)
def test_a_second_run_changes_nothing(tools: Tools, given: dict[str, Any], path: str, value: str) -> None:
    first, second = titles_twice(tools, **given)
    assert first == ["define plat"]
    assert second == []
    assert get(described(tools), path) == value


def test_xml_beside_the_description_says_what_differs(tools: Tools) -> None:
    titles_twice(tools)
    planned = plan(tools, xml="<domain><on_crash>restart</on_crash></domain>")
    assert [step.title for step in planned.steps] == ["change the definition of plat"]
    assert planned.after["xml"] == {"/on_crash[0]": "(as declared)"}
    assert planned.before["xml"] == {"/on_crash[0]": "(another)"}


@pytest.mark.parametrize(
    ("given", "part", "option"),
    [
        ({"memory": "64MiB"}, "<memory unit='MiB'>128</memory>", "memory"),
        ({"vcpus": 1}, "<vcpu>2</vcpu>", "vcpus"),
        ({"title": "one"}, "<title>two</title>", "title"),
        ({"description": "one"}, "<description>two</description>", "description"),
        ({"graphics": "none"}, "<devices><graphics type='vnc'/></devices>", "graphics"),
        ({"cpu_pinning": []}, "<cputune><vcpupin vcpu='0' cpuset='0'/></cputune>", "cpu_pinning"),
        (
            ON_DEFAULT,
            f"<devices><interface type='bridge'>{MAC}<source bridge='br0'/></interface></devices>",
            "networks",
        ),
        (
            {"networks": [{**ON_DEFAULT["networks"][0], "model": "virtio"}]},
            f"<devices><interface>{MAC}<model type='e1000e'/></interface></devices>",
            "networks",
        ),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_xml_that_contradicts_an_option(
    tools: Tools, given: dict[str, Any], part: str, option: str, there: bool
) -> None:
    if there:
        titles_twice(tools, **given)
    with pytest.raises(InvalidOption, match=f"^xml: both {option} and the XML tell this VM's {option}"):
        plan(tools, **given, xml=f"<domain>{part}</domain>")


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"memory": "128MiB"}, "<memory unit='MiB'>128</memory><currentMemory unit='MiB'>64</currentMemory>"),
        ({"memory": "125000KiB"}, "<memory unit='MB'>128</memory>"),
        ({"memory": None}, "<memory unit='MiB'>128</memory>"),
        ({"vcpus": 2}, "<vcpu current='1'>2</vcpu>"),
        ({"title": "one"}, "<description>two</description>"),
        ({"machine": "pc"}, "<os><type machine='pc'/></os>"),
        (ON_DEFAULT, f"<devices><interface>{MAC}<model type='e1000e'/></interface></devices>"),
        (ON_DEFAULT, f"<devices><interface>{MAC}<vlan><tag id='7'/></vlan></interface></devices>"),
        (ON_DEFAULT, f"<devices><interface>{MAC.replace('aa', 'AA')}<mtu size='9000'/></interface></devices>"),
    ],
)
def test_xml_that_agrees_with_the_options(tools: Tools, given: dict[str, Any], part: str) -> None:
    assert titles_twice(tools, **given, xml=f"<domain>{part}</domain>") == (["define plat"], [])


def test_a_machine_that_both_name_without_its_version(tools: Tools) -> None:
    titles_twice(tools, xml="<domain><os><type machine='pc-i440fx-2.0'/></os></domain>")
    part = {"xml": "<domain><os><type machine='pc'/></os></domain>"}
    assert plan(tools, machine="pc", **part).changed
    with pytest.raises(InvalidOption, match="^xml: both machine and the XML"):
        plan(tools, machine="pc-i440fx-2.0", **part)


@pytest.mark.parametrize("given", [{}, {"acceleration": "auto"}])
def test_the_xml_tells_the_accelerator_that_is_left_open(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    monkeypatch.setattr(vm_define, "acceleration", lambda connection, wanted: Acceleration(KINDS[wanted], ""))
    roots: list[str] = []
    monkeypatch.setattr(vm_define, "_define", lambda connection, text, part, *, check: roots.append(text))
    for step in plan(tools, xml="<domain type='qemu'/>", **given).steps:
        step.run()
    # And not the CPU that only KVM can pass through.
    assert (parse(roots[0]).get("type"), get(parse(roots[0]), "cpu/@mode")) == ("qemu", "")
    with pytest.raises(InvalidOption, match="^xml: both acceleration and the XML"):
        plan(tools, xml="<domain type='qemu'/>", acceleration="kvm")


def test_labels_change_alone(tools: Tools) -> None:
    titles_twice(tools, labels={"tier": "web"}, title="t")
    planned = plan(tools, labels={"tier": "db", "live": True})
    assert [step.title for step in planned.steps] == ["change the labels of plat"]
    for step in planned.steps:
        step.run()
    assert planned.observe()["labels"] == {"live": "true", "tier": "db"}
    assert planned.after["labels"] == {"live": "true", "tier": "db"}
    assert plan(tools, labels={"tier": "db", "live": True}).steps == ()
    assert plan(tools).steps == ()
    assert [step.title for step in plan(tools, labels={}).steps] == ["change the labels of plat"]


def test_labels_of_a_vm_by_its_whole_xml(tools: Tools) -> None:
    xml = "<domain type='test'><name>plat</name><memory unit='KiB'>65536</memory><os><type>hvm</type></os></domain>"
    whole = {"memory": None, "disks": None, "xml": xml}
    assert titles_twice(tools, **whole, labels={"a": "1"}) == (["define plat by the XML given"], [])
    assert [step.title for step in plan(tools, **whole, labels={"a": "2"}).steps] == ["change the labels of plat"]
    again = xml.replace("65536", "32768")
    assert titles_twice(tools, **{**whole, "xml": again}) == (["change the definition of plat by the XML given"], [])
    assert plan(tools, **{**whole, "xml": again}).observe()["labels"] == {"a": "1"}


@pytest.mark.usefixtures("able")
@pytest.mark.parametrize(("secure", "tpm"), [(True, True), (False, None)])
def test_uefi(tools: Tools, secure: bool, tpm: bool | None) -> None:
    found = plan(tools, firmware="uefi", machine="q35", secure_boot=secure, tpm=tpm)
    assert found.foretell is not None
    told = found.foretell()
    assert (told["firmware"], told["secure_boot"], told["tpm"]) == ("uefi", secure, bool(tpm))
    assert (found.after["firmware"], found.after["secure_boot"]) == ("uefi", secure)


REFUSED: list[tuple[dict[str, Any], type[ImageOpsError], str]] = [
    ({"secure_boot": True, "firmware": "bios"}, InvalidOption, "only UEFI has it"),
    ({"cpu_pinning": ["0", "0"]}, InvalidOption, "has 1 virtual CPUs"),
    ({"cpu_pinning": ["0", "0"], "vcpus": 1}, InvalidOption, "has 1 virtual CPUs"),
    ({"cpu_pinning": ["4999"]}, Unsupported, "the host has no CPU 4999"),
    ({"cpu_pinning": "0-1"}, InvalidOption, "neither a list nor a dictionary"),
    ({"cpu_pinning": {"x": "0"}}, InvalidOption, "no number of a virtual CPU"),
    ({"cpu_pinning": ["x"]}, InvalidOption, "no set of CPUs"),
    ({"hugepages": "3MiB"}, InvalidOption, "no size of a page"),
    ({"hugepages": "64KiB"}, Unsupported, "the host has no pages of 64 KiB"),
    ({"labels": {"a": ["b"]}}, InvalidOption, "labels.a"),
    ({"labels": {"": "b"}}, InvalidOption, "names at least one"),
    ({"labels": {"a": "\x07"}}, InvalidOption, "labels: the character"),
    ({"networks": [{"network": "default", "vlan": 4095}]}, InvalidOption, "4095 is no VLAN"),
    ({"virtio_media": "/no/such.iso"}, NotFound, "virtio_media.path: /no/such.iso does not exist"),
    ({"xml": "<domain><name>other</name></domain>"}, InvalidOption, "describes the VM other"),
    ({"xml": "<network/>"}, InvalidOption, "root element"),
    ({"xml": "<domain><vcpu>two</vcpu></domain>"}, InvalidOption, "xml: <vcpu> holds 'two', which is no number of CPUs"),
    ({"xml": "<domain><devices><disk><source file='/no/such'/><target dev='vdz'/></disk></devices></domain>"}, NotFound,
     "/no/such does not exist"),
    ({"memory": "4PiB", "state": "running"}, NoSpace, "start fewer on it"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "kind", "words"), REFUSED)
def test_refusals(tools: Tools, given: dict[str, Any], kind: type[ImageOpsError], words: str) -> None:
    with pytest.raises(kind) as caught:
        plan(tools, **given)
    assert words in str(caught.value)
    assert tools.hypervisor("test:///default").domain("plat") is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"firmware": "uefi"}, "the package ovmf"),
        ({"tpm": True}, "swtpm"),
        ({"secure_boot": True, "machine": "q35"}, "ovmf"),
    ],
)
def test_what_the_host_lacks_names_the_package(
    tools: Tools, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], words: str
) -> None:
    for name in ("has_uefi", "has_secure_boot", "has_tpms"):
        monkeypatch.setattr(vm_platform, name, lambda connection: False)
    with pytest.raises(Unsupported, match=words):
        plan(tools, **given)


@pytest.mark.usefixtures("able")
def test_secure_boot_needs_the_machine_q35(tools: Tools) -> None:
    with pytest.raises(InvalidOption, match="use machine: q35"):
        plan(tools, secure_boot=True, machine="pc")


def test_items_count_together(tools: Tools, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host = {"MemTotal": 128 << 20, "MemAvailable": 100 << 20}
    monkeypatch.setattr(tuning, "host_memory", lambda: host)
    tools.forecast.clear()
    assert plan(tools, fresh=False, name="one", state="running").warnings == ()
    second = plan(tools, fresh=False, name="two", state="running")
    assert "From two on" in second.warnings[0]
    with pytest.raises(NoSpace, match="up to three"):
        plan(tools, fresh=False, name="three", state="running")
    assert plan(tools, fresh=False, name="four", state="present").warnings == ()


@pytest.mark.parametrize(("media", "bus", "model"), [(None, "sata", "e1000e"), ("/x.iso", "virtio", "virtio")])
def test_windows_has_a_driver_for_its_devices(media: str | None, bus: str, model: str) -> None:
    given = {
        **DEFAULTS,
        "os": "windows",
        "virtio_media": media,
        "disks": [{"size": "1GiB"}],
        "networks": [{"network": "n"}],
    }
    request = read_request(given)
    assert request.disks is not None and request.networks is not None
    assert (request.disks[0].bus, request.networks[0].default_model) == (bus, model)
    assert [disk.device for disk in request.disks] == (["disk", "cdrom"] if media else ["disk"])


def test_pinning_stays_when_it_is_not_declared(tools: Tools) -> None:
    titles_twice(tools, cpu_pinning=["0"])
    assert plan(tools, memory="64MiB").steps == ()
    assert [step.title for step in plan(tools, cpu_pinning=[]).steps] == ["change the definition of plat"]


def test_a_tpm_is_not_taken_away(tools: Tools) -> None:
    connection = tools.hypervisor("test:///default")
    tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"
    connection.define(
        f"<domain type='test'><name>plat</name><memory unit='KiB'>65536</memory><os><type>hvm</type></os><devices>{tpm}</devices>"
        f"</domain>"
    )
    with pytest.raises(Conflict, match="would be lost"):
        plan(tools, tpm=False)
    assert plan(tools, tpm=True).steps == ()
