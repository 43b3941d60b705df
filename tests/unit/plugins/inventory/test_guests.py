# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible_collections.imageops.fleet.plugins.inventory import guests
from ansible_collections.imageops.fleet.plugins.plugin_utils.guests_asking import ANSWERS, NotAsked, Question

HOSTS = "hypervisors: {hosts: {kvm1: {}, kvm2: {}}}\n"
ANSWER: dict[str, dict[str, Any]] = {
    "kvm1": {
        "vms": [
            {"name": "web-1", "state": "running", "labels": {"role": "web"}, "addresses": ["192.0.2.7"]},
            {"name": "kvm2", "state": "stopped", "labels": {"note": "{{ lookup('pipe', 'touch /tmp/owned') }}"}},
            {"name": "{{ 7 * 7 }}", "state": "running"},
            {"name": "-oProxyCommand=x", "state": "running"},
            {"name": "localhost", "state": "running", "addresses": ["-oProxyCommand=touch /tmp/x", "192.0.2.8"]},
        ]
    },
    "kvm2": {"error": "it gave no answer"},
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Question]:
    """The questions that were asked; hypervisors answer as ANSWER says."""
    questions: list[Question] = []

    def ask(question: Question) -> dict[str, Any]:
        questions.append(question)
        return ANSWER

    monkeypatch.setattr(guests, "ask", ask)
    return questions


def plugin_of(
    tmp_path: Path, options: str = "", *, before: bool = True
) -> tuple[guests.InventoryModule, Any, Any, str]:
    """The plugin, with an inventory that has read the hypervisors."""
    (tmp_path / "hosts.yml").write_text(HOSTS)
    path = tmp_path / "guests.yml"
    path.write_text(f"plugin: imageops.fleet.guests\n{options}")
    loader = DataLoader()
    manager = InventoryManager(loader=loader, sources=[str(tmp_path / "hosts.yml")] if before else "kvm9,")
    if not before:
        manager._inventory.processed_sources.clear()
    plugin = guests.InventoryModule()
    plugin._redirected_names = ["imageops.fleet.guests"]
    plugin._load_name = "imageops.fleet.guests"
    return plugin, manager._inventory, loader, str(path)


def read(tmp_path: Path, options: str = "", **more: Any) -> Any:
    plugin, inventory, loader, path = plugin_of(tmp_path, options, **more)
    plugin.parse(inventory, loader, path, cache=True)
    return inventory


@pytest.fixture(autouse=True)
def documented(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options as DOCUMENTATION has them, and the fragments of ansible-core."""
    import yaml
    from ansible import constants as C
    from ansible.plugins.doc_fragments import constructed, inventory_cache

    options: dict[str, Any] = {}
    for text in (
        constructed.ModuleDocFragment.DOCUMENTATION,
        inventory_cache.ModuleDocFragment.DOCUMENTATION,
        guests.DOCUMENTATION,
    ):
        options.update(yaml.safe_load(text)["options"])
    C.config.initialize_plugin_configuration_definitions("inventory", "imageops.fleet.guests", options)


def test_guests(tmp_path: Path, asked: list[Question]) -> None:
    inventory = read(tmp_path)
    assert (asked[0].pattern, asked[0].sources) == ("hypervisors", [str(tmp_path / "hosts.yml")])
    assert asked[0].module_args == {"uri": "qemu:///system", "addresses": True}
    assert "--become" in asked[0].options
    assert sorted(inventory.hosts) == ["kvm1", "kvm2", "kvm2.kvm1", "localhost.kvm1", "web-1"]
    assert inventory.hosts["localhost.kvm1"].get_vars()["ansible_host"] == "192.0.2.8"
    assert inventory.hosts["web-1"].get_vars()["ansible_host"] == "192.0.2.7"
    names = {name for name, group in inventory.groups.items() if "web-1" in [host.name for host in group.get_hosts()]}
    assert names == {"guests", "state_running", "host_kvm1", "label_role_web"}


def test_constructed_options(tmp_path: Path, asked: list[Question]) -> None:
    inventory = read(
        tmp_path,
        "compose: {ansible_user: \"'root' if guest_labels.role is defined else 'nobody'\"}\n"
        "groups: {reachable: guest_address != ''}\n"
        "keyed_groups: [{key: guest_labels.role | default('none'), prefix: is}]\n"
        "group_by: [state]\ngroup: vms\nnames: full\nbecome: false\n",
    )
    assert inventory.hosts["web-1.kvm1"].get_vars()["ansible_user"] == "root"
    assert [host.name for host in inventory.groups["reachable"].get_hosts()] == ["web-1.kvm1", "localhost.kvm1"]
    assert {"is_web", "is_none", "vms"} <= set(inventory.groups)
    assert "label_role_web" not in inventory.groups
    assert "--become" not in asked[0].options


def test_strict_is_strict(tmp_path: Path, asked: list[Question]) -> None:
    with pytest.raises(AnsibleError):
        read(tmp_path, "strict: true\ncompose: {x: guest_labels.role}\n")


def test_a_silent_hypervisor_is_an_error_when_told(tmp_path: Path, asked: list[Question]) -> None:
    with pytest.raises(AnsibleError, match="kvm2 didn't tell its guests: it gave no answer"):
        read(tmp_path, "strict_hosts: true\n")


def test_sources_of_its_own(tmp_path: Path, asked: list[Question]) -> None:
    read(tmp_path, "sources: [more/hosts.yml, 'kvm7,', /etc/hosts.yml]\nhosts: all\n", before=False)
    assert asked[0].sources == [str(tmp_path / "more/hosts.yml"), "kvm7,", "/etc/hosts.yml"]


def test_values_are_no_templates(tmp_path: Path, asked: list[Question]) -> None:
    from ansible.template import Templar

    cache = f"cache: true\ncache_plugin: jsonfile\ncache_connection: {tmp_path}/cache\n"
    constructed = (
        "strict: true\ncompose: {note: guest_labels.note | default('')}\nkeyed_groups: [{key: guest_labels}]\n"
    )
    for _from_cache in (False, True):
        plugin, inventory, loader, path = plugin_of(tmp_path, cache + constructed)
        plugin.parse(inventory, loader, path, cache=True)
        plugin.update_cache_if_changed()
        known = inventory.hosts["kvm2.kvm1"].get_vars()
        told = Templar(loader=DataLoader(), variables=known).template([known["guest_labels"], known["note"]])
        labels = ANSWER["kvm1"]["vms"][1]["labels"]
        assert told == [labels, labels["note"]]
        assert all(name.replace("_", "").isalnum() for name in inventory.groups)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("options", "before", "words"),
    [
        ("", False, "no inventory source was read before this one"),
        ("image_pattern: '('\n", True, "is not a regular expression"),
    ],
)
def test_refusals(tmp_path: Path, asked: list[Question], options: str, before: bool, words: str) -> None:
    with pytest.raises(AnsibleError, match=words):
        read(tmp_path, options, before=before)


def test_nobody_could_be_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(question: Question) -> dict[str, Any]:
        raise NotAsked("no hosts matched")

    monkeypatch.setattr(guests, "ask", ask)
    with pytest.raises(AnsibleError, match=r"the hypervisors \(hypervisors\) could not be asked: no hosts matched"):
        read(tmp_path)


def test_adds_nothing_while_it_is_asked(tmp_path: Path, asked: list[Question], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ANSWERS, str(tmp_path / "answers"))
    assert sorted(read(tmp_path).hosts) == ["kvm1", "kvm2"]
    assert not asked


def test_cache(tmp_path: Path, asked: list[Question]) -> None:
    options = f"cache: true\ncache_plugin: jsonfile\ncache_connection: {tmp_path}/cache\n"
    for more, questions in (("", 1), ("", 1), ("addresses: false\n", 2)):
        plugin, inventory, loader, path = plugin_of(tmp_path, options + more)
        plugin.parse(inventory, loader, path, cache=True)
        plugin.update_cache_if_changed()
        assert "web-1" in inventory.hosts
        assert len(asked) == questions


@pytest.mark.parametrize(("name", "expected"), [("guests.yml", True), ("my-guests.yaml", True), ("hosts.yml", False)])
def test_file_names(tmp_path: Path, name: str, expected: bool) -> None:
    (tmp_path / name).write_text("")
    assert guests.InventoryModule().verify_file(str(tmp_path / name)) is expected


def test_for_real(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other process, on this machine, with libvirt's own test driver, a template, and a host that can't be reached."""
    monkeypatch.setenv("ANSIBLE_CONFIG", str(tmp_path / "none.cfg"))
    (tmp_path / "kvm.yml").write_text(
        "all: {vars: {way: local, ansible_connection: '{{ way }}', ansible_python_interpreter: "
        + sys.executable
        + "},\n"
        " hosts: {kvm1: {}, kvm2: {way: nonsense}}}\n"
    )
    inventory = read(tmp_path, "sources: [kvm.yml]\nhosts: all\nuri: test:///default\nbecome: false\n", before=False)
    assert inventory.hosts["test"].get_vars()["guest_host"] == "kvm1"
    assert inventory.hosts["test"].get_vars()["guest_state"] == "running"
