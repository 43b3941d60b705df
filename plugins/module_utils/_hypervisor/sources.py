# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and their chains as a domain's XML tells them."""

from __future__ import annotations

from dataclasses import dataclass

from .xml import Element, get


@dataclass(frozen=True)
class Layer:
    """One image of a chain; `path` is empty for network disks."""

    path: str
    format: str


@dataclass(frozen=True)
class Disk:
    """A disk: target (vda), device (disk, cdrom), its active layer, and the layers that libvirt knows, active first."""

    target: str
    device: str
    bus: str
    path: str
    format: str
    readonly: bool
    chain: tuple[Layer, ...]


def source_path(source: Element | None) -> str:
    """The file or block device that a <source> names, an empty string for others."""
    return "" if source is None else source.get("file") or source.get("dev") or ""


def disks_of(root: Element) -> list[Disk]:
    """Every disk of the domain XML `root`."""
    return [disk_of(element) for element in root.findall("devices/disk")]


def disk_of(element: Element) -> Disk:
    """The disk that a <disk> describes."""
    chain = _chain(element)
    return Disk(
        target=get(element, "target/@dev"),
        device=element.get("device", "disk"),
        bus=get(element, "target/@bus"),
        path=chain[0].path if chain else "",
        format=get(element, "driver/@type"),
        readonly=element.find("readonly") is not None,
        chain=chain,
    )


def _chain(element: Element) -> tuple[Layer, ...]:
    """Layers from the active one down; <backingStore> elements nest, an empty one ends the chain."""
    layers: list[Layer] = []
    here: Element | None = element
    kind = "driver/@type"
    while here is not None and here.find("source") is not None:
        layers.append(Layer(source_path(here.find("source")), get(here, kind)))
        here, kind = here.find("backingStore"), "format/@type"
    return tuple(layers)
