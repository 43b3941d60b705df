# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clone of a VM that was published: its disks are made from those of the image, its description is told anew.

Whoever published the image may be a stranger. So nothing of the XML in it becomes XML here: what `vm` has options for is read out of it,
and checked as what a task declares.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from .._catalog.image import ImageConfig
from .._catalog.reference import Reference, parse_reference
from .._errors import Conflict, InvalidOption, Unsupported
from .._hypervisor import hardware
from .._hypervisor.connection import Connection
from .._hypervisor.devices import graphics_of, uplink
from .._hypervisor.domain import Domain
from .._hypervisor.xml import Element, get, parse
from .._plan import Plan, Step
from .._records import read_record
from .guest_identity import with_identity_config
from .operation import Tools
from .vm import plan_vm
from .vm_clone_choice import SKIP
from .vm_clone_facts import found_facts
from .vm_clone_macs import kept_macs
from .vm_clone_turn import claim_turn
from .vm_labels import labels_of
from .vm_plain import declared_paths
from .vm_wait import plan_waits

# Options of a clone that are about a VM of this host.
_ONLY_OF_VMS = {"snapshot": None, "quiesce": False}
# Machine types come in versions, which differ from host to host.
_MACHINES = {"pc-q35": "q35", "q35": "q35", "pc-i440fx": "pc", "pc": "pc", "virt": "virt"}
_BUSES = ("virtio", "scsi", "sata", "ide")
_DISPLAYS = ("vnc", "spice")


def plan_image_clone(params: dict[str, Any], awaited: Any, tools: Tools) -> Plan:
    """Plan one clone of a published VM; raises what speaks against it."""
    reference = parse_reference(params["source"], option="source")
    _require_possible(params)
    connection = tools.hypervisor(params["uri"])
    there = connection.domain(params["name"])
    if there is not None:
        return _plan_existing(params, reference, there, awaited, connection, tools)
    config, digest = _config(params, reference, tools)
    plan = plan_vm(_item(params, config, reference.at(tag=reference.tag, digest=digest)), tools)
    told = {"source": params["source"], "mode": params["mode"]}
    return replace(
        plan,
        before={},
        after={**plan.after, **told},
        observe=lambda: {**found_facts(_defined(connection, params["name"])), **told},
        foretell=None,
    )


def _defined(connection: Connection, name: str) -> Domain:
    domain = connection.domain(name)
    if domain is None:
        raise Conflict(f"name: {name} was removed by somebody else while it was being made.")
    return domain


def _require_possible(params: Mapping[str, Any]) -> None:
    for name, default in _ONLY_OF_VMS.items():
        if params[name] != default:
            raise InvalidOption(f"{name}: it is for clones of VMs on this host, and source is an image; leave it out.")
    if params["identity"] == "edit":
        raise Unsupported("identity: disks of a clone from an image aren't edited; give identity: seed, or none.")
    others = [disk["target"] for disk in params["disks"] or () if disk["mode"] != SKIP]
    if others:
        raise Unsupported(
            f"disks: of an image a disk is made as mode says, or left out (skip), and {others[0]} is neither."
        )


def _plan_existing(
    params: dict[str, Any], reference: Reference, domain: Domain, awaited: Any, connection: Connection, tools: Tools
) -> Plan:
    """A clone that is there is never made again; it is started when that is asked."""
    origins = list(_origins(domain.xml()))
    wanted = {reference.digest} if reference.digest else {str(reference)}
    if not wanted & {text for origin in origins for text in origin}:
        raise Conflict(
            f"name: there is a VM called {domain.name} already, and no disk of it was made from {params['source']}; give another name, or "
            f"remove that VM first."
        )
    told = {"source": params["source"], "mode": params["mode"]}
    before = {**found_facts(domain), **told}
    starts = params["state"] == "running" and not domain.active
    if starts:
        claim_turn(domain, tools, starts=True)
    steps = (Step(f"start {domain.name}", domain.start),) if starts else ()
    waits = plan_waits(awaited, domain.xml(), connection, tools.clock)
    after = {**before, "state": "running"} if starts else before
    kept = kept_macs(params, before["macs"])
    return Plan(
        params["name"],
        before,
        after,
        lambda: {**found_facts(domain), **told},
        steps=steps,
        waits=waits,
        warnings=kept,
    )


def _origins(root: Element) -> Iterator[tuple[str, str]]:
    """Reference and digest of the images that the VM's disks were made from."""
    for path in declared_paths(root).values():
        record = read_record(path) if os.path.exists(path) else None
        if record is not None and record.source.get("manifest"):
            # A clone's disks name the tag with the digest that it had then.
            named = str(record.source["reference"]).partition("@")[0]
            yield named, str(record.source["manifest"])


def _config(params: dict[str, Any], reference: Reference, tools: Tools) -> tuple[ImageConfig, str]:
    """What the image tells of the VM, and its digest; the signature is looked at before."""
    from .._registry.images import load_image
    from .image_pull_items import opened

    with opened(params, reference) as store:
        digest = reference.digest or store.resolve(reference.version).digest
        if params["require_signature"]:
            from .image_signature import require_signed

            require_signed(store, digest, params["require_signature"], tools.commands)
        config = load_image(store, digest).config
    if not config.vm.get("xml"):
        raise Unsupported(
            f"source: {params['source']} holds disks without a VM; publish it with 'vm', or make a VM with its disks by the module vm."
        )
    return config, digest


def _item(params: dict[str, Any], config: ImageConfig, reference: Reference) -> dict[str, Any]:
    """What a task of `vm` would declare for such a VM."""
    root = parse(str(config.vm["xml"]), option="source")
    facts = hardware.facts(root)
    if facts["tpm"] and params["tpm"] != "fresh":
        raise Unsupported("source: the published VM has a TPM, whose state isn't in the image; give tpm: fresh.")
    told = {name: facts[name] for name in ("vcpus", "title", "description", "agent") if facts[name]}
    seed = {"cloud_init": {"user_data": with_identity_config("")}} if params["identity"] == "seed" else {}
    return {
        **params,
        **told,
        **seed,
        **_firmware(config, facts),
        # To the byte: a size for people is rounded.
        "memory": str(hardware.memory(root)),
        "state": params["state"],
        "machine": _MACHINES.get(str(facts["machine"]).rpartition("-")[0]) or _MACHINES.get(str(facts["machine"])),
        "console": root.find("devices/serial") is not None,
        "graphics": graphics_of(root) if graphics_of(root) in _DISPLAYS else None,
        "labels": labels_of(root) or None,
        "disks": _disks(params, config, root, reference),
        "networks": list(_networks(root, params["mac"] or ())),
        "shutdown_timeout": 0,
        "force_stop": False,
        "remove_disks": False,
        "search_paths": None,
    }


def _firmware(config: ImageConfig, facts: Mapping[str, object]) -> dict[str, Any]:
    efi = config.vm.get("firmware") == "efi" or facts["firmware"] == "uefi"
    return {
        "firmware": "uefi" if efi else None,
        "secure_boot": bool(facts["secure_boot"]) if efi else None,
        "tpm": True if facts["tpm"] else None,
    }


def _disks(params: dict[str, Any], config: ImageConfig, root: Element, reference: Reference) -> list[dict[str, Any]]:
    skipped = {disk["target"] for disk in params["disks"] or ()}
    elements = {get(disk, "target/@dev"): disk for disk in root.iterfind("devices/disk")}
    found = []
    for disk in config.disks:
        element = elements.get(disk.name)
        if element is None:
            raise Unsupported(
                f"source: the disk {disk.name} of the image isn't in the VM's description; it can't be told where it belongs."
            )
        bus = get(element, "target/@bus")
        path = os.path.join(params["directory"], f"{params['name']}-{disk.name}.qcow2") if params["directory"] else None
        if disk.name not in skipped:
            found.append(
                {
                    "image": str(reference),
                    "image_disk": disk.name,
                    "copy": "linked" if params["mode"] == "linked" else "full",
                    "path": path,
                    "format": "qcow2",
                    "target": disk.name,
                    "bus": bus if bus in _BUSES else None,
                    "boot": int(get(element, "boot/@order", "0")) or None,
                }
            )
    return found


def _networks(root: Element, macs: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Interfaces with the networks or bridges that the publisher's VM had, and addresses of their own."""
    for number, interface in enumerate(root.iterfind("devices/interface")):
        told = {name: value for name, value in uplink(interface).items() if name != "mac"}
        if not {"network", "bridge"} & set(told):
            raise Unsupported(
                "source: an interface of the published VM is on neither a network nor a bridge of libvirt."
            )
        yield {**told, "mac": macs[number] if number < len(macs) else None}
