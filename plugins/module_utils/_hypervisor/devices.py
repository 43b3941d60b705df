# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Devices of a domain as XML elements: disks, network interfaces, the serial console."""

from __future__ import annotations

import os
import stat
from typing import Any

from .xml import Element, drop, get, put

# Prefix of target names by bus; SATA, SCSI and USB share one.
PREFIXES = {"virtio": "vd", "scsi": "sd", "sata": "sd", "ide": "hd"}


def target_name(bus: str, number: int) -> str:
    """vda, vdb ... vdz, vdaa for 0, 1 ... 25, 26."""
    letters = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("a") + rest) + letters
    return PREFIXES[bus] + letters


def is_block(path: str) -> bool:
    """Whether `path` is a block device."""
    try:
        return stat.S_ISBLK(os.stat(path).st_mode)
    except OSError:
        return False


def new_disk(*, target: str, bus: str, device: str) -> Element:
    """A <disk> without medium."""
    disk = Element("disk", {"type": "file", "device": device})
    put(disk, "driver/@name", "qemu")
    put(disk, "target/@dev", target)
    put(disk, "target/@bus", bus)
    return disk


def set_medium(disk: Element, path: str, driver: str) -> None:
    """Let `disk` use the file or block device `path`, or nothing when it's empty; what was told of the old chain goes."""
    for name in ("source", "backingStore"):
        drop(disk, name)
    if not path:
        return
    block = is_block(path)
    disk.set("type", "block" if block else "file")
    put(disk, "driver/@type", driver)
    source = Element("source", {"dev" if block else "file": path})
    # The order of the schema's examples: driver, source, target.
    disk.insert(list(disk).index(disk.findall("driver")[0]) + 1, source)


def set_flag(element: Element, name: str, value: bool) -> None:
    """Have an empty child `name`, or not."""
    if value != (element.find(name) is not None):
        put(element, name, "" if value else None)


def new_interface(*, network: str, bridge: str, mac: str, model: str) -> Element:
    """An <interface> on a virtual network or on a bridge of the host."""
    interface = Element("interface")
    if mac:
        put(interface, "mac/@address", mac)
    set_uplink(interface, network=network, bridge=bridge)
    put(interface, "model/@type", model)
    return interface


def set_uplink(interface: Element, *, network: str, bridge: str) -> None:
    """Plug an <interface> into another network or bridge."""
    for name in ("source", "virtualport"):
        drop(interface, name)
    interface.set("type", "network" if network else "bridge")
    put(interface, "source/@network" if network else "source/@bridge", network or bridge)


def set_vlan(interface: Element, tag: int) -> None:
    """Have the frames of an <interface> tagged; 0 for none."""
    drop(interface, "vlan")
    if tag:
        put(interface, "vlan/tag/@id", str(tag))


def uplink(interface: Element) -> dict[str, Any]:
    """Network or bridge, MAC, model and VLAN of an <interface>."""
    found: dict[str, Any] = {name: get(interface, f"source/@{name}") for name in ("network", "bridge")}
    # A running interface on a network names the network's bridge too.
    if found["network"]:
        found["bridge"] = ""
    found["mac"] = get(interface, "mac/@address").lower()
    found["model"] = get(interface, "model/@type")
    found["vlan"] = int(get(interface, "vlan/tag/@id", "0"))
    return {name: value for name, value in found.items() if value}


def log_of(root: Element) -> str:
    """The log file of the first serial console that has one, an empty string when none has."""
    for path in ("devices/serial/log/@file", "devices/console/log/@file"):
        if get(root, path):
            return get(root, path)
    return ""


def set_console(root: Element, *, wanted: bool, log: str) -> None:
    """Have a serial console that is logged to a file, or none; a log that is there stays where it is."""
    if not wanted:
        for path in ("devices/serial", "devices/console"):
            drop(root, path)
        return
    if log_of(root):
        return
    if root.find("devices/serial") is None:
        drop(root, "devices/console[@type='pty']")
        put(root, "devices/serial/@type", "pty")
        put(root, "devices/serial/target/@port", "0")
        put(root, "devices/console/@type", "pty")
        put(root, "devices/console/target/@type", "serial")
    put(root, "devices/serial/log/@file", log)
    put(root, "devices/serial/log/@append", "off")


def graphics_of(root: Element) -> str:
    """Type of the first <graphics>, `none` without."""
    return get(root, "devices/graphics/@type", "none")


def set_graphics(root: Element, kind: str) -> None:
    """Have one display of the type vnc or spice on the loopback address, or none."""
    drop(root, "devices/graphics")
    if kind == "none":
        drop(root, "devices/video")
        return
    put(root, f"devices/graphics[@type='{kind}']/@autoport", "yes")
    put(root, f"devices/graphics[@type='{kind}']/@listen", "127.0.0.1")


def boot_order(device: Element) -> int | None:
    """The device's place in the boot order, None without."""
    text = get(device, "boot/@order")
    return int(text) if text else None
