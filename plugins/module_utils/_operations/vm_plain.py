# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plain description on a domain's XML: what is declared is set by path, everything else stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._errors import InvalidOption
from .._hypervisor import hardware
from .._hypervisor.acceleration import Acceleration
from .._hypervisor.channel import set_channel
from .._hypervisor.connection import Connection
from .._hypervisor.devices import (
    boot_order,
    graphics_of,
    log_of,
    new_disk,
    new_interface,
    set_console,
    set_flag,
    set_graphics,
    set_medium,
    set_uplink,
    set_vlan,
    uplink,
)
from .._hypervisor.sources import source_path
from .._hypervisor.xml import IMAGEOPS, Element, drop, ensure, get, put
from .vm_disk_plan import PlannedDisk
from .vm_host import console_log, host_arch, is_linux_bridge, require_bridge, require_network, require_vlan
from .vm_labels import OURS, labels_of
from .vm_request import VmRequest
from .vm_request_devices import DiskRequest, NetworkRequest
from .vm_seed import Seed

_DEFAULT_MEMORY = 1 << 30


def new_root(request: VmRequest, acceleration: Acceleration, connection: Connection) -> Element:
    """A new domain with the defaults for what isn't declared."""
    arch = host_arch(connection)
    x86 = arch == "x86_64"
    machine = "q35" if x86 and acceleration.kind in ("kvm", "tcg") else ""
    root = hardware.skeleton(request.name, acceleration, arch=arch, machine=request.plain("machine") or machine)
    hardware.set_memory(root, _DEFAULT_MEMORY)
    hardware.set_vcpus(root, 1)
    if acceleration.kind == "kvm":
        hardware.set_cpu(root, "host-passthrough")
    elif acceleration.kind == "tcg" and x86:
        # QEMU's default CPU is too old for distributions that ask for x86-64-v2.
        hardware.set_cpu(root, "maximum")
    if request.plain("console") is None:
        set_console(root, wanted=True, log=console_log(request.uri, request.name))
    return root


def set_plain(root: Element, request: VmRequest) -> None:
    """Set all that is declared but disks, networks, platform and acceleration."""
    if request.memory is not None:
        hardware.set_memory(root, request.memory)
    if request.vcpus is not None:
        hardware.set_vcpus(root, request.vcpus)
    if request.plain("cpu"):
        hardware.set_cpu(root, request.plain("cpu"))
    machine = request.plain("machine")
    if machine and not hardware.same_machine(hardware.machine(root), machine):
        put(root, "os/type/@machine", machine)
    for name in ("title", "description"):
        text = request.plain(name)
        if text is not None and get(root, name) != with_line_feeds(text):
            put(root, name, with_line_feeds(text) or None)
    if request.plain("console") is not None and request.plain("console") != bool(log_of(root)):
        set_console(root, wanted=request.plain("console"), log=console_log(request.uri, request.name))
    if request.plain("agent") is not None:
        set_channel(root, wanted=request.plain("agent"))
    if request.plain("graphics") and request.plain("graphics") != graphics_of(root):
        set_graphics(root, request.plain("graphics"))


def with_line_feeds(text: str) -> str:
    """The text as XML gives it back (XML 1.0, section 2.11): every line ends with a line feed."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def set_disks(root: Element, disks: Sequence[PlannedDisk]) -> None:
    """Have every declared disk; a disk whose chain holds the declared file keeps its active layer."""
    for disk in disks:
        request = disk.request
        element = _disk_at(root, request.target)
        if element is None:
            element = new_disk(target=request.target, bus=request.bus, device=request.device)
            _add_disk(root, element)
        if not disk.attached:
            _plug_in(element, disk)
        _set_disk_flags(root, element, request)
        put(root, f"{OURS}/{{{IMAGEOPS}}}disk[@target='{request.target}']/@path", request.path)


def _disk_at(root: Element, target: str) -> Element | None:
    found = root.findall("devices/disk")
    return next((disk for disk in found if get(disk, "target/@dev") == target), None)


def _add_disk(root: Element, element: Element) -> None:
    """Put the disk after the others: guests count in that order."""
    devices = ensure(root, "devices")
    places = [number for number, child in enumerate(devices) if child.tag == "disk"]
    devices.insert(places[-1] + 1 if places else 0, element)
    if get(element, "target/@bus") == "scsi" and root.find("devices/controller[@type='scsi']") is None:
        # libvirt's default controller is one for which few guests have a driver.
        devices.append(Element("controller", {"type": "scsi", "index": "0", "model": "virtio-scsi"}))


def _plug_in(element: Element, disk: PlannedDisk) -> None:
    element.set("device", disk.request.device)
    if get(element, "target/@bus") != disk.request.bus:
        put(element, "target/@bus", disk.request.bus)
        drop(element, "address")
    if source_path(element.find("source")) != disk.request.path or get(element, "driver/@type") != disk.driver:
        set_medium(element, disk.request.path, disk.driver)
    if disk.new is not None:
        # Space that the guest frees is given back to the host.
        put(element, "driver/@discard", "unmap")


def _set_disk_flags(root: Element, element: Element, request: DiskRequest) -> None:
    if request.device == "cdrom":
        set_flag(element, "readonly", True)
    elif request.readonly is not None:
        set_flag(element, "readonly", request.readonly)
    _set_boot(root, element, request.boot)


def _set_boot(root: Element, element: Element, order: int | None) -> None:
    """Orders of devices and <os><boot> exclude each other."""
    if order is None or boot_order(element) == order:
        return
    drop(root, "os/boot")
    for other in (*root.findall("devices/disk"), *root.findall("devices/interface")):
        if boot_order(other) == order:
            drop(other, "boot")
    put(element, "boot/@order", str(order))


def set_seed(root: Element, seed: Seed, target: str) -> None:
    """Have the seed as a read-only cdrom behind virtio-scsi, which the smallest cloud kernels have a driver for."""
    if seed_target(root, seed.path):
        return
    element = new_disk(target=target, bus="scsi", device="cdrom")
    set_medium(element, seed.path, "raw")
    set_flag(element, "readonly", True)
    _add_disk(root, element)


def seed_target(root: Element, path: str) -> str:
    """The target of the disk whose medium is `path`, an empty string without."""
    for disk in root.findall("devices/disk"):
        if source_path(disk.find("source")) == path:
            return get(disk, "target/@dev")
    return ""


def drop_disk(root: Element, target: str) -> None:
    """Have no disk at `target`."""
    devices = ensure(root, "devices")
    for disk in devices.findall("disk"):
        if get(disk, "target/@dev") == target:
            devices.remove(disk)


def set_networks(root: Element, networks: Sequence[NetworkRequest], connection: Connection) -> None:
    """Have every declared interface: found by its MAC when that is declared, else by its place; others stay."""
    left = root.findall("devices/interface")
    for number, network in enumerate(networks):
        option = f"networks[{number}]"
        found = _interface(left, network, declared=[other.mac for other in networks if other.mac])
        if found is None:
            found = _new_interface(root, network)
        else:
            left.remove(found)
        _require_uplink(network, connection, option=option)
        wanted = {name: getattr(network, name) for name in ("network", "bridge")}
        now = uplink(found)
        if {name: now.get(name, "") for name in wanted} != wanted:
            set_uplink(found, **wanted)
        if network.bridge and not is_linux_bridge(network.bridge):
            put(found, "virtualport/@type", "openvswitch")
        if network.vlan is not None and now.get("vlan", 0) != network.vlan:
            set_vlan(found, network.vlan)
        _set_identity(found, network, now)
        _set_boot(root, found, network.boot)


def _interface(left: Sequence[Element], network: NetworkRequest, *, declared: Sequence[str]) -> Element | None:
    if network.mac:
        by_mac = [element for element in left if uplink(element).get("mac") == network.mac]
        if by_mac:
            return by_mac[0]
    free = [element for element in left if uplink(element).get("mac") not in declared]
    return free[0] if free else None


def _new_interface(root: Element, network: NetworkRequest) -> Element:
    model = network.model or network.default_model
    element = new_interface(network=network.network, bridge=network.bridge, mac=network.mac, model=model)
    ensure(root, "devices").append(element)
    return element


def _set_identity(element: Element, network: NetworkRequest, now: dict[str, Any]) -> None:
    if network.mac and now.get("mac") != network.mac:
        put(element, "mac/@address", network.mac)
    if network.model and now.get("model") != network.model:
        put(element, "model/@type", network.model)
        drop(element, "address")


def _require_uplink(network: NetworkRequest, connection: Connection, *, option: str) -> None:
    if network.network:
        require_network(connection, network.network, option=f"{option}.network")
    else:
        require_bridge(network.bridge, option=f"{option}.bridge")
    if network.vlan:
        require_vlan(connection, network.network, network.bridge, option=f"{option}.vlan")


def set_acceleration(root: Element, acceleration: Acceleration) -> None:
    """Change the accelerator; what belonged to the other one (emulator, CPU) is chosen anew by libvirt."""
    if hardware.acceleration(root) == acceleration.kind:
        return
    root.set("type", acceleration.domain_type)
    if acceleration.kind == "tcg" and hardware.cpu(root) in ("host-passthrough", "host-model"):
        hardware.set_cpu(root, "maximum")


_FACTS: dict[str, Callable[[Element], Any]] = {
    **hardware.FACTS,
    "networks": lambda root: [uplink(element) for element in root.findall("devices/interface")],
    "labels": labels_of,
}


def declared_facts(root: Element, request: VmRequest) -> dict[str, Any]:
    """What diffs compare, by the names of the options: of `root` what the task declares."""
    return {name: tell(root) for name, tell in _FACTS.items() if request.plain(name) is not None}


def declared_paths(root: Element) -> dict[str, str]:
    """The declared file of each disk that `vm` has set, by target."""
    disks = root.findall(f"{OURS}/{{{IMAGEOPS}}}disk")
    return {disk.get("target", ""): disk.get("path", "") for disk in disks}


def require_description(request: VmRequest) -> None:
    """Raise InvalidOption when a VM that isn't there shall be made from nothing."""
    if request.disks is None and not request.plain("xml"):
        raise InvalidOption(
            f"name: there is no VM called {request.name} on {request.uri}, and nothing tells how to make it; give disks "
            f"(an empty list for none) or xml, or correct the name."
        )
