# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks of a QEMU process, by its own account (qapi/block-core.json: query-block)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .sources import Layer

_PERIPHERAL = "/machine/peripheral/"
# What jobs put on top of a disk for as long as they run.
_OF_JOBS = ("copy-before-write", "mirror_top", "commit_top", "backup-top")


@dataclass(frozen=True)
class Point:
    """An internal snapshot in a disk; `memory` is the size of the VM's state with it."""

    name: str
    created: int
    memory: int


@dataclass(frozen=True)
class QmpDisk:
    """A disk with its node, its layers from the active one down, and the internal snapshots in the active one."""

    target: str
    node: str
    device: str
    readonly: bool
    size: int
    layers: tuple[Layer, ...]
    points: tuple[Point, ...]
    encrypted: bool = False

    @property
    def path(self) -> str:
        """The file that is written to."""
        return self.layers[0].path

    @property
    def format(self) -> str:
        """Its format, as QEMU names it."""
        return self.layers[0].format


def read_disks(answer: list[dict[str, Any]]) -> list[QmpDisk]:
    """Every drive that holds a medium."""
    return [_disk(found, number) for number, found in enumerate(answer) if "inserted" in found]


def _disk(found: dict[str, Any], number: int) -> QmpDisk:
    medium = found["inserted"]
    image = _without_filters(medium["image"])
    return QmpDisk(
        target=_target(found, number),
        node=medium["node-name"],
        device="cdrom" if found.get("removable") else "disk",
        readonly=medium["ro"],
        size=image["virtual-size"],
        layers=tuple(_layers(image)),
        points=tuple(
            Point(point["name"], point["date-sec"], point["vm-state-size"]) for point in image.get("snapshots", ())
        ),
        encrypted=image.get("encrypted", False),
    )


def _without_filters(image: dict[str, Any]) -> dict[str, Any]:
    while image["format"] in _OF_JOBS and "backing-image" in image:
        image = image["backing-image"]
    return image


def _target(found: dict[str, Any], number: int) -> str:
    """The id of the drive, or of the device for drives without one."""
    qdev = found.get("qdev", "")
    named = qdev[len(_PERIPHERAL) :].split("/")[0] if qdev.startswith(_PERIPHERAL) else ""
    return found.get("device") or named or f"disk{number}"


def _layers(image: dict[str, Any] | None) -> list[Layer]:
    found = []
    while image:
        found.append(Layer(image["filename"], image["format"]))
        image = image.get("backing-image")
    return found
