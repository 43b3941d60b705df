# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The channel of a domain on which QEMU's guest agent listens."""

from __future__ import annotations

from .xml import Element, ensure, get, put

CHANNEL = "org.qemu.guest_agent.0"


def channel_in(root: Element) -> bool:
    """Whether a VM's description has the channel."""
    return any(target.get("name") == CHANNEL for target in root.findall("devices/channel/target"))


def set_channel(root: Element, *, wanted: bool) -> None:
    """Have the channel, or not; libvirt chooses the socket."""
    if wanted == channel_in(root):
        return
    devices = ensure(root, "devices")
    for channel in devices.findall("channel"):
        if get(channel, "target/@name") == CHANNEL:
            devices.remove(channel)
    if wanted:
        channel = Element("channel", {"type": "unix"})
        put(channel, "target/@type", "virtio")
        put(channel, "target/@name", CHANNEL)
        devices.append(channel)
