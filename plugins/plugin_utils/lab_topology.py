# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the description of a lab to its machines and networks: names, addresses and MAC addresses that are the same in each run."""

from __future__ import annotations

import hashlib
import ipaddress
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption
from ansible_collections.imageops.fleet.plugins.plugin_utils.lab_description import (
    Description,
    read_description,
    require_once,
)

LAB, PARTICIPANT, MACHINE = "lab", "participant", "machine"
# The host has .1; these are left for whoever a lab's network is connected to.
_FIRST = 10


def topology(told: Mapping[str, Any], passwords: Mapping[str, str] | None) -> dict[str, Any]:
    """Participants, and their networks and VMs as options of `vm_network` and `vm`; raises InvalidOption.

    Without `passwords` the VMs have no seeds, which may hold secrets.
    """
    lab = read_description(told)
    maker = _Maker(lab, told, passwords)
    participants = [maker.participant(number) for number in range(len(lab.participants))]
    for kind in ("networks", "machines"):
        # web of a-b would be called as b-web of a.
        names = [each["name"] for one in participants for each in one[kind]]
        require_once(names, f"lab_participants: joined with the names of {kind}")
    return {
        "name": lab.name,
        "limit": dict(lab.limit),
        "participants": participants,
        "networks": [network for one in participants for network in one["networks"]],
        "vms": [vm for one in participants for vm in one["vms"]],
        "images": _images(lab, maker),
        "reset": list(lab.reset_only or lab.participants),
        # Networks are a host's own, so what is connected by one must be on one host.
        "rules": [{"together": {"labels": {LAB: lab.name}, "by": PARTICIPANT}}],
    }


def _images(lab: Description, maker: _Maker) -> list[dict[str, Any]]:
    """Files of the controller that hosts need, each once."""
    found: dict[str, dict[str, Any]] = {}
    for machine in lab.machines:
        if maker.is_staged(machine["image"]):
            entry = {
                "src": machine["image"],
                "path": maker.base(machine["image"]),
                "format": machine.get("image_format") or "",
            }
            if found.setdefault(machine["image"], entry) != entry:
                raise InvalidOption(f"lab_machines: {machine['image']} is given with two formats; give one.")
    return list(found.values())


class _Maker:
    def __init__(self, lab: Description, told: Mapping[str, Any], passwords: Mapping[str, str] | None) -> None:
        self._lab = lab
        self._folder = str(told.get("dir") or "")
        self._on_host = bool(told.get("images_on_host"))
        self._user = str(told.get("user") or "")
        self._passwords = passwords

    def is_staged(self, image: str) -> bool:
        """Whether an image is a file of the controller."""
        return image.startswith(("/", "~")) and not self._on_host

    def base(self, image: str) -> str:
        """What disks are overlays on: a file of the host, or an image of a catalog."""
        if not self.is_staged(image):
            return image
        stem = os.path.splitext(os.path.basename(image))[0]
        return f"{self._folder}/base-{stem}-{hashlib.sha256(image.encode()).hexdigest()[:8]}.qcow2"

    def participant(self, number: int) -> dict[str, Any]:
        """All that one participant has."""
        name = self._lab.participants[number]
        machines = [self._machine(number, place) for place in range(len(self._lab.machines))]
        return {
            "name": name,
            "user": self._user,
            "networks": [self._network(number, place, machines) for place in range(len(self._lab.networks))],
            "machines": machines,
            "vms": [self._vm(name, machine, place) for place, machine in enumerate(machines)],
        }

    def _subnet(self, participant: int, network: int) -> ipaddress.IPv4Network:
        return self._lab.subnets[participant * len(self._lab.networks) + network]

    def _name(self, participant: int, what: str) -> str:
        return f"{self._lab.name}-{self._lab.participants[participant]}-{what}"

    def _domain(self, participant: int) -> str:
        return f"{self._lab.participants[participant]}.{self._lab.name}.lab"

    def _network(self, participant: int, place: int, machines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """A network as an item of vm_network."""
        told, subnet = self._lab.networks[place], self._subnet(participant, place)
        name = self._name(participant, told["name"])
        cards = [
            (machine["machine"], card) for machine in machines for card in machine["cards"] if card["network"] == name
        ]
        leases = [{"mac": card["mac"], "address": card["address"], "name": machine} for machine, card in cards]
        found = {
            "name": name,
            "mode": told.get("mode") or "isolated",
            "domain": self._domain(participant),
            "addresses": [{"address": f"{subnet[1]}/{subnet.prefixlen}", "leases": leases}],
        }
        return {**found, **({"mtu": told["mtu"]} if told.get("mtu") else {})}

    def _machine(self, participant: int, place: int) -> dict[str, Any]:
        """A machine for people: its name, its cards with addresses."""
        machine = self._lab.machines[place]
        known = [network["name"] for network in self._lab.networks]
        cards: list[dict[str, Any]] = []
        for name in machine.get("networks") or []:
            number = known.index(name)
            subnet = self._subnet(participant, number)
            if _FIRST + place >= subnet.num_addresses - 1:
                raise InvalidOption(
                    f"lab_prefix: {subnet} has no address for {machine['name']}; give a shorter lab_prefix."
                )
            cards.append(
                {
                    "network": self._name(participant, name),
                    "mac": self._mac(participant, place, number),
                    "address": str(subnet[_FIRST + place]),
                    "prefix": subnet.prefixlen,
                    # One way out is enough.
                    "way_out": self._leads_out(number) and not any(card["way_out"] for card in cards),
                }
            )
        return {"name": self._name(participant, machine["name"]), "machine": machine["name"], "cards": cards}

    def _leads_out(self, network: int) -> bool:
        return self._lab.networks[network].get("mode") in ("nat", "routed")

    def _mac(self, participant: int, machine: int, network: int) -> str:
        """Two bytes tell the lab, one the participant, one the card."""
        card = machine * len(self._lab.networks) + network
        if card > 255:
            raise InvalidOption("lab_machines: the machines of a participant have more than 256 cards; make two labs.")
        lab = hashlib.sha256(self._lab.name.encode()).digest()
        return ":".join(f"{byte:02x}" for byte in (0x52, 0x54, lab[0], lab[1], participant, card))

    def _vm(self, participant: str, found: Mapping[str, Any], place: int) -> dict[str, Any]:
        """A machine as an item of vm."""
        machine = self._lab.machines[place]
        name = found["name"]
        disk = {"image": self.base(machine["image"]), "copy": "linked", "path": f"{self._folder}/{name}-vda.qcow2"}
        if machine.get("size"):
            disk["size"] = machine["size"]
        if not self.is_staged(machine["image"]) and machine.get("image_format"):
            disk["image_format"] = machine["image_format"]
        wanted: dict[str, Any] = {
            "state": "running",
            **(machine.get("options") or {}),
            "name": name,
            "memory": machine.get("memory") or "1GiB",
            "vcpus": machine.get("vcpus") or 1,
            "disks": [disk],
            "networks": [{"network": card["network"], "mac": card["mac"]} for card in found["cards"]],
            "labels": {LAB: self._lab.name, PARTICIPANT: participant, MACHINE: machine["name"]},
        }
        if machine.get("seed", True) and self._passwords is not None:
            wanted["cloud_init"] = self._seed(participant, machine, found)
        return wanted

    def _seed(self, participant: str, machine: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
        cards = {f"lab{number}": self._card(participant, card) for number, card in enumerate(found["cards"])}
        told = machine.get("user_data")
        user = told if isinstance(told, str) else {**(told or {}), **self._account(participant)}
        return {
            "user_data": user,
            "meta_data": {"instance-id": found["name"], "local-hostname": machine["name"]},
            "network_config": {"version": 2, "ethernets": cards},
        }

    def _card(self, participant: str, card: Mapping[str, Any]) -> dict[str, Any]:
        """A card for cloud-init, with the address that DHCP would give it too."""
        host = str(ipaddress.IPv4Interface(f"{card['address']}/{card['prefix']}").network[1])
        domain = self._domain(self._lab.participants.index(participant))
        found = {
            "match": {"macaddress": card["mac"]},
            "addresses": [f"{card['address']}/{card['prefix']}"],
            "nameservers": {"addresses": [host], "search": [domain]},
        }
        return {**found, **({"routes": [{"to": "0.0.0.0/0", "via": host}]} if card["way_out"] else {})}

    def _account(self, participant: str) -> dict[str, Any]:
        """The participant's account on a machine."""
        password = (self._passwords or {}).get(participant)
        if not self._user or not password:
            return {}
        return {
            "users": ["default", {"name": self._user, "lock_passwd": False, "shell": "/bin/bash"}],
            "chpasswd": {"expire": False, "users": [{"name": self._user, "password": password, "type": "text"}]},
            "ssh_pwauth": True,
        }
