# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clone's own identity in its description: names, UUID, MACs, and every path that two VMs can't share."""

from __future__ import annotations

import copy
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .._hypervisor.devices import new_disk, set_medium
from .._hypervisor.sources import source_path
from .._hypervisor.xml import IMAGEOPS, Element, drop, ensure, get, put

_OURS = f"metadata/{{{IMAGEOPS}}}vm"
_CLONE = f"{_OURS}/{{{IMAGEOPS}}}clone"
_CHARACTER_DEVICES = ("serial", "parallel", "console", "channel")
# Where libvirt makes sockets by itself when none is told.
_AUTOMATIC = re.compile(r"^(/var/lib|/run|/var/run)/libvirt/qemu/")
_PORTS = ("port", "tlsPort", "websocket", "socket")


@dataclass(frozen=True)
class Identity:
    """What is the clone's own. `disks` are by target (path, QEMU's driver), `macs` in the order of the interfaces.

    Disks at `skipped` targets aren't its; those that are in neither it shares. A `seed` is the source's path and its own.
    """

    name: str
    uuid: str
    macs: Sequence[str]
    mode: str
    disks: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    seed: tuple[str, str] = ("", "")
    nvram: str = ""
    skipped: Sequence[str] = ()
    new_serials: bool = True


def new_mac() -> str:
    """A random MAC of QEMU's range, which libvirt uses too."""
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in secrets.token_bytes(3))


def interfaces(root: Element) -> list[Element]:
    """The network interfaces, in order."""
    return root.findall("devices/interface")


def origin(root: Element) -> dict[str, str]:
    """What a VM was cloned from: source, source_uuid and mode; empty for one that isn't a clone of ours."""
    found = root.find(_CLONE)
    return dict(found.attrib) if found is not None else {}


def describe(root: Element, identity: Identity) -> Element:
    """The clone's description, made from the source's."""
    source, source_uuid = get(root, "name"), get(root, "uuid")
    clone = copy.deepcopy(root)
    _name(clone, identity)
    _move_disks(clone, identity)
    _set_nvram(clone, identity.nvram)
    _set_macs(clone, identity.macs)
    for tag in _CHARACTER_DEVICES:
        for device in clone.iterfind(f"devices/{tag}"):
            _own_paths(device, source, identity.name)
    _free_ports(clone)
    _fresh_tpm(clone)
    if identity.new_serials:
        _set_serials(clone, identity)
    _set_metadata(clone, identity, {"source": source, "source_uuid": source_uuid, "mode": identity.mode})
    return clone


def _name(clone: Element, identity: Identity) -> None:
    put(clone, "name", identity.name)
    put(clone, "uuid", identity.uuid)
    if clone.find("genid") is not None:
        put(clone, "genid", "")
    for entry in clone.iterfind("sysinfo/system/entry[@name='uuid']"):
        entry.text = identity.uuid


def _move_disks(clone: Element, identity: Identity) -> None:
    devices = ensure(clone, "devices")
    for disk in clone.findall("devices/disk"):
        path, target = source_path(disk.find("source")), get(disk, "target/@dev")
        if target in identity.skipped:
            devices.remove(disk)
        elif target in identity.disks:
            set_medium(disk, *identity.disks[target])
        elif path and path == identity.seed[0]:
            set_medium(disk, identity.seed[1], "raw")
    if identity.seed[1] and not identity.seed[0]:
        add_seed(clone, identity.seed[1])


def add_seed(clone: Element, path: str) -> None:
    """Have the seed as a read-only cdrom behind virtio-scsi, which the smallest cloud kernels have a driver for."""
    taken = {get(disk, "target/@dev") for disk in clone.iterfind("devices/disk")}
    target = next(f"sd{letter}" for letter in "abcdefghijklmnopqrstuvwxyz" if f"sd{letter}" not in taken)
    disk = new_disk(target=target, bus="scsi", device="cdrom")
    set_medium(disk, path, "raw")
    put(disk, "readonly", "")
    ensure(clone, "devices").append(disk)
    if clone.find("devices/controller[@type='scsi']") is None:
        controller = Element("controller", {"type": "scsi", "index": "0", "model": "virtio-scsi"})
        ensure(clone, "devices").append(controller)


def _set_nvram(clone: Element, path: str) -> None:
    nvram = clone.find("os/nvram")
    if nvram is None or not path:
        return
    if nvram.find("source") is not None:
        put(nvram, "source/@file", path)
    else:
        nvram.text = path


def _set_macs(clone: Element, macs: Sequence[str]) -> None:
    for interface, mac in zip(interfaces(clone), macs):
        put(interface, "mac/@address", mac)
        # Names of host devices and ports of virtual switches belong to one VM.
        drop(interface, "target")
        drop(interface, "virtualport/parameters/@interfaceid")


def _own_paths(device: Element, source: str, name: str) -> None:
    """Log files, sockets and output files of a character device: made anew by libvirt, or named after the clone."""
    if get(device, "log/@file"):
        put(device, "log/@file", own_path(get(device, "log/@file"), source, name))
    path = get(device, "source/@path")
    if device.get("type") not in ("unix", "file") or not path:
        return
    if _AUTOMATIC.match(path):
        drop(device, "source")
    else:
        put(device, "source/@path", own_path(path, source, name))


def own_path(path: str, source: str, name: str) -> str:
    """The path with the clone's name in place of the source's in its last part, or before it."""
    folder, last = os.path.split(path)
    whole = rf"(?<![A-Za-z0-9]){re.escape(source)}(?![A-Za-z0-9])"
    own = re.sub(whole, lambda _match: name, last, count=1)
    return os.path.join(folder, own if own != last else f"{name}-{last}")


def _free_ports(clone: Element) -> None:
    """Let libvirt choose ports and addresses that only one running VM can have."""
    for graphics in clone.iterfind("devices/graphics"):
        if any(name in graphics.attrib for name in _PORTS):
            for name in _PORTS:
                graphics.attrib.pop(name, None)
            graphics.set("autoport", "yes")
    for cid in clone.iterfind("devices/vsock/cid"):
        cid.attrib.pop("address", None)
        cid.set("auto", "yes")


def _fresh_tpm(clone: Element) -> None:
    """libvirt keeps the state of an emulated TPM by the VM's UUID, unless a place is told."""
    for backend in clone.iterfind("devices/tpm/backend"):
        drop(backend, "source")


def _set_serials(clone: Element, identity: Identity) -> None:
    """Serial numbers of the clone's own disks and of its board."""
    for disk in clone.iterfind("devices/disk"):
        if get(disk, "target/@dev") not in identity.disks:
            continue
        for name in ("serial", "wwn"):
            if disk.find(name) is not None:
                # A world wide name of format 5 (NAA) has 16 hex digits.
                put(disk, name, f"5{secrets.token_hex(8)[1:]}" if name == "wwn" else secrets.token_hex(10).upper())
    for block in ("system", "baseBoard", "chassis"):
        for entry in clone.iterfind(f"sysinfo/{block}/entry[@name='serial']"):
            entry.text = identity.uuid


def _set_metadata(clone: Element, identity: Identity, made: Mapping[str, str]) -> None:
    """Our notes name the clone's disks and what it was cloned from, not the whole XML that the source was made by."""
    for ours in clone.findall(_OURS):
        for disk in ours.findall(f"{{{IMAGEOPS}}}disk"):
            target = disk.get("target", "")
            if target in identity.skipped:
                ours.remove(disk)
            else:
                disk.set("path", identity.disks.get(target, (disk.get("path", ""), ""))[0])
    drop(clone, f"{_OURS}/{{{IMAGEOPS}}}xml")
    drop(clone, _CLONE)
    for key, value in made.items():
        put(clone, f"{_CLONE}/@{key}", value)
