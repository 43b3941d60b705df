# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What planning of VMs looks up once for all items of a task."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator

from .._errors import NotFound, Unsupported
from .._files import real_path
from .._hypervisor.acceleration import Acceleration, choose, kvm_obstacle
from .._hypervisor.connection import Connection
from .._hypervisor.domain import Domain
from .._hypervisor.sources import source_path
from .._hypervisor.xml import Element, get
from .vm_session import CACHE, RUNTIME, is_session, session_folder

IMAGES = "/var/lib/libvirt/images"
LOGS = "/var/log/libvirt/qemu"
RUN = "/run/libvirt/qemu"
_KEPT = 8
_VLANS_ON_BRIDGES = (11, 0, 0)


@functools.lru_cache(maxsize=_KEPT)
def default_folder(connection: Connection) -> str:
    """Where new disks go: the folder of the active pool `default`, else libvirt's own folder for images."""
    paths = [pool.path for pool in connection.pools() if pool.name == "default" and pool.active and pool.path]
    return paths[0] if paths else IMAGES


@functools.lru_cache(maxsize=_KEPT)
def _capabilities(connection: Connection) -> Element:
    """What host and hypervisor can do."""
    return connection.capabilities()


@functools.lru_cache(maxsize=_KEPT)
def host_arch(connection: Connection) -> str:
    """The host's architecture, such as x86_64."""
    return get(_capabilities(connection), "host/cpu/arch") or os.uname().machine


@functools.lru_cache(maxsize=_KEPT)
def domain_types(connection: Connection) -> frozenset[str]:
    """The types of domain that the hypervisor offers for the host's architecture, or at all."""
    guests = _capabilities(connection).findall("guest/arch")
    own = [arch for arch in guests if arch.get("name") == host_arch(connection)] or guests
    return frozenset(domain.get("type", "") for arch in own for domain in arch.findall("domain"))


@functools.lru_cache(maxsize=_KEPT)
def machines(connection: Connection, arch: str) -> dict[str, int]:
    """The machine types of an architecture, with the most virtual CPUs that each has (0: not told)."""
    found = [guest for guest in _capabilities(connection).findall("guest/arch") if guest.get("name") == arch]
    return {
        machine.text or "": int(machine.get("maxCpus", "0")) for guest in found for machine in guest.iter("machine")
    }


def emulator(connection: Connection, arch: str) -> str:
    """The program that libvirt starts for an architecture, an empty string for none."""
    found = _capabilities(connection).findall("guest/arch")
    return next((get(guest, "emulator") for guest in found if guest.get("name") == arch), "")


@functools.lru_cache(maxsize=_KEPT)
def acceleration(connection: Connection, wanted: str) -> Acceleration:
    """The accelerator for `wanted` (auto, kvm, tcg) on this host, and why; raises Unsupported."""
    arch = host_arch(connection)
    return choose(wanted, offered=domain_types(connection), arch=arch, obstacle=kvm_obstacle(arch=arch))


@functools.lru_cache(maxsize=_KEPT)
def active_layers(connection: Connection) -> dict[str, str]:
    """The image that each VM writes to, by its real path, with the VM's name; as found when first asked."""
    found: dict[str, str] = {}
    for domain in connection.domains():
        # Another task may remove a VM while we look; what is gone writes to nothing.
        with contextlib.suppress(NotFound):
            for path in _written(domain):
                found.setdefault(path, domain.name)
    return found


@functools.lru_cache(maxsize=_KEPT)
def _inodes(connection: Connection) -> dict[tuple[int, int], str]:
    """The same by device and inode: a file may have many names."""
    found: dict[tuple[int, int], str] = {}
    for path, name in active_layers(connection).items():
        with contextlib.suppress(OSError):
            status = os.stat(path)
            found.setdefault((status.st_dev, status.st_ino), name)
    return found


def writer(connection: Connection, path: str) -> str:
    """The VM that writes to the existing file `path`, an empty string without."""
    status = os.stat(path)
    return active_layers(connection).get(real_path(path)) or _inodes(connection).get((status.st_dev, status.st_ino), "")


def _written(domain: Domain) -> Iterator[str]:
    """Real paths of the images that the VM writes to, now and after its next start."""
    for inactive in (False, True):
        for disk in domain.xml(inactive=inactive).findall("devices/disk"):
            path = source_path(disk.find("source"))
            if path and disk.find("readonly") is None and disk.get("device", "disk") == "disk":
                yield real_path(path)


@functools.lru_cache(maxsize=_KEPT)
def networks(connection: Connection) -> dict[str, bool]:
    """Names of the virtual networks, and whether they are active."""
    return {network.name: network.active for network in connection.networks()}


def require_network(connection: Connection, name: str, *, option: str) -> None:
    """Raise NotFound unless the virtual network exists and is active."""
    found = networks(connection)
    if name not in found:
        known = ", ".join(sorted(found)) or "none"
        raise NotFound(f"{option}: there is no network called {name} on {connection.uri} (there: {known}).")
    if not found[name]:
        raise NotFound(f"{option}: the network {name} is not active; start it with 'virsh net-start {name}'.")


def require_bridge(name: str, *, option: str) -> None:
    """Raise NotFound unless the host has the bridge."""
    if not os.path.isdir(f"/sys/class/net/{name}"):
        raise NotFound(f"{option}: the host has no bridge called {name}; create it first.")


def is_linux_bridge(name: str) -> bool:
    """Whether a bridge is the kernel's own, and not one of Open vSwitch."""
    return os.path.isdir(f"/sys/class/net/{name}/bridge")


def require_vlan(connection: Connection, network: str, bridge: str, *, option: str) -> None:
    """Raise Unsupported where libvirt can't tag an interface's frames."""
    name = bridge or next((found.bridge for found in connection.networks() if found.name == network), "")
    if not name or not is_linux_bridge(name):
        return
    try:
        with open(f"/sys/class/net/{name}/bridge/vlan_filtering", encoding="ascii") as stream:
            filters = stream.read().strip() == "1"
    except FileNotFoundError:
        filters = False
    if filters and connection.version >= _VLANS_ON_BRIDGES:
        return
    raise Unsupported(
        f"{option}: the Linux bridge {name} carries no tags here (libvirt 11.0 can have it do that where the bridge has "
        f"vlan_filtering); use a bridge of that VLAN (on an interface such as eth0.42), or one of Open vSwitch."
    )


@functools.lru_cache(maxsize=_KEPT)
def _domain_capabilities(connection: Connection, kind: str) -> Element:
    """What domains of a type (kvm, qemu) can have, on the machine that new VMs get."""
    machine = "q35" if host_arch(connection) == "x86_64" and kind in ("kvm", "qemu") else ""
    return connection.domain_capabilities(kind=kind, machine=machine)


def _offers(connection: Connection, path: str, value: str) -> bool:
    """Whether domains have `value` among those at `path`."""
    kind = "kvm" if "kvm" in domain_types(connection) else min(domain_types(connection))
    found = _domain_capabilities(connection, kind).findall(f"{path}/value")
    return value in [offered.text for offered in found]


def has_uefi(connection: Connection) -> bool:
    """Whether libvirt knows a UEFI firmware for this host."""
    return _offers(connection, "os/enum[@name='firmware']", "efi")


def has_secure_boot(connection: Connection) -> bool:
    """Whether one of them has secure boot."""
    return has_uefi(connection) and _offers(connection, "os/loader/enum[@name='secure']", "yes")


def has_tpms(connection: Connection) -> bool:
    """Whether the host can emulate a TPM 2.0."""
    return _offers(connection, "devices/tpm/enum[@name='backendModel']", "emulator")


def cpu_models(connection: Connection, kind: str) -> frozenset[str]:
    """The CPU models that domains of a type can have, none where libvirt doesn't tell."""
    found = _domain_capabilities(connection, kind).findall("cpu/mode[@name='custom']/model")
    return frozenset(model.text or "" for model in found)


def enlightenments(connection: Connection, kind: str) -> frozenset[str]:
    """The hypervisor's enlightenments for Windows that domains of a type can have; libvirt before 9.0 doesn't tell."""
    found = _domain_capabilities(connection, kind).findall("features/hyperv/enum[@name='features']/value")
    return frozenset(offered.text or "" for offered in found)


def console_log(uri: str, name: str) -> str:
    """Where the serial console of a VM is logged."""
    return os.path.join(session_folder(CACHE, "log") if is_session(uri) else LOGS, f"{name}-serial.log")


def started(uri: str, name: str) -> float:
    """When the VM's QEMU process started (seconds since the epoch): it writes its process id file just then."""
    folder = session_folder(RUNTIME, "run") if is_session(uri) else RUN
    try:
        return os.stat(os.path.join(folder, f"{name}.pid")).st_mtime
    except FileNotFoundError:
        return 0.0
