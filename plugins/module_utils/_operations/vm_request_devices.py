# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disks and network interfaces that a task asks of one VM."""

from __future__ import annotations

import functools
import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .._errors import InvalidOption
from .._formats.names import canonical_format
from .._hypervisor.devices import PREFIXES
from .mac_address import MAC
from .vm_request_checks import disk_size

if TYPE_CHECKING:
    from .catalog_wanted import Wanted

_TARGET = re.compile(r"^(vd|sd|hd)[a-z]{1,2}\Z")
# IEEE 802.1Q has 12 bits, of which the last value is reserved.
_MOST_VLAN = 4094
# QEMU counts places with 32 bits and a sign.
_MOST_BOOT = (1 << 31) - 1


@dataclass(frozen=True)
class DiskRequest:
    """One disk of the description; empty strings and None are what was left out, `bus_told` whether `bus` was given.

    `image` is a path, or the reference of `catalog`.
    """

    target: str
    bus_told: bool
    bus: str
    device: str
    path: str
    image: str
    image_format: str | None
    copy: str
    format: str
    size: int | None
    readonly: bool | None
    boot: int | None
    catalog: Wanted | None = None


@dataclass(frozen=True)
class NetworkRequest:
    """One network interface of the description."""

    network: str
    bridge: str
    mac: str
    model: str
    boot: int | None
    vlan: int | None
    default_model: str


def _listed(values: Any, read: Any) -> Any:
    return None if values is None else tuple(read(value, f"[{number}]") for number, value in enumerate(values))


def read_disks(params: dict[str, Any]) -> tuple[DiskRequest, ...] | None:
    """The declared disks, and the medium with drivers for Windows as one more."""
    # Windows has no driver for virtio before it gets that medium.
    bus = "sata" if params.get("os") == "windows" and not params.get("virtio_media") else "virtio"
    found: tuple[DiskRequest, ...] | None = _listed(
        params.get("disks"), functools.partial(_disk, bus=bus, params=params)
    )
    medium = params.get("virtio_media")
    if not medium:
        return found
    return (*(found or ()), _disk({"device": "cdrom", "path": medium}, "[virtio_media]", bus=bus, params=params))


def read_networks(params: dict[str, Any]) -> tuple[NetworkRequest, ...] | None:
    """The declared interfaces; e1000e is a card that Windows knows by itself."""
    plain = params.get("os") == "windows" and not params.get("virtio_media")
    read = functools.partial(_network, model="e1000e" if plain else "virtio")
    found: tuple[NetworkRequest, ...] | None = _listed(params.get("networks"), read)
    return found


def _disk(value: dict[str, Any], place: str, *, bus: str, params: dict[str, Any]) -> DiskRequest:
    option = f"disks{place}"
    catalog = _catalog(value, params, option)
    bus = value.get("bus") or ("sata" if value.get("device") == "cdrom" else bus)
    request = DiskRequest(
        target=value.get("target") or "",
        bus_told=bool(value.get("bus")),
        bus=bus,
        device=value.get("device") or "disk",
        path=_path(value.get("path"), f"{option}.path"),
        image=value["image"] if catalog else _path(value.get("image"), f"{option}.image"),
        image_format=value.get("image_format"),
        copy=value.get("copy") or "linked",
        format=canonical_format(value["format"], option=f"{option}.format") if value.get("format") else "",
        size=disk_size(value.get("size"), option=f"{option}.size"),
        readonly=value.get("readonly"),
        boot=_boot(value.get("boot"), option),
        catalog=catalog,
    )
    _check_disk(request, option)
    return request


def _check_disk(request: DiskRequest, option: str) -> None:
    if request.target and not (_TARGET.match(request.target) and request.target.startswith(PREFIXES[request.bus])):
        raise InvalidOption(
            f"{option}.target: '{request.target}' is no target on the bus {request.bus}; use one such as "
            f"{PREFIXES[request.bus]}a, or leave it out."
        )
    if request.device == "cdrom":
        if request.image or request.size is not None:
            raise InvalidOption(f"{option}: a cdrom takes only a path; leave out image and size.")
        if request.bus == "virtio":
            raise InvalidOption(f"{option}.bus: a cdrom can't be on the bus virtio; use sata, scsi or ide.")
    elif not (request.image or request.path or request.size is not None):
        raise InvalidOption(
            f"{option}: a disk needs image (made from it), size (new and empty) or path (an existing file)."
        )
    if request.image and request.copy == "linked" and request.format not in ("", "qcow2"):
        raise InvalidOption(f"{option}.format: a linked copy is always qcow2; use format: qcow2 or copy: full.")
    if (request.image or request.size is not None) and request.format not in ("", "qcow2", "raw"):
        raise InvalidOption(f"{option}.format: new disks of a VM are qcow2 or raw; give one of them.")


def _catalog(value: dict[str, Any], params: dict[str, Any], option: str) -> Wanted | None:
    """The image of a catalog that is meant: what is no path."""
    image = value.get("image") or ""
    if not image or image.startswith(("/", "~")):
        if value.get("image_disk"):
            raise InvalidOption(
                f"{option}.image_disk: it names a disk of an image in a catalog, and image is none; leave it out."
            )
        return None
    from .catalog_wanted import read_wanted

    try:
        return read_wanted(
            image,
            disk=value.get("image_disk"),
            format=value.get("image_format"),
            folder=_path(params.get("images_dir"), "images_dir"),
            access=params,
            option=f"{option}.image",
        )
    except InvalidOption as error:
        raise InvalidOption(f"{error} A file is named by its absolute path.") from None


def _path(value: str | None, option: str) -> str:
    if not value:
        return ""
    path = os.path.expanduser(value)
    if not os.path.isabs(path):
        raise InvalidOption(f"{option}: '{value}' is not an absolute path.")
    return os.path.normpath(path)


def _boot(value: int | None, option: str) -> int | None:
    if value is not None and not 1 <= value <= _MOST_BOOT:
        raise InvalidOption(f"{option}.boot: {value} is no place in the boot order; give 1 to {_MOST_BOOT}.")
    return value


def _network(value: dict[str, Any], place: str, *, model: str) -> NetworkRequest:
    option = f"networks{place}"
    if bool(value.get("network")) == bool(value.get("bridge")):
        raise InvalidOption(f"{option}: give either network (one of libvirt's) or bridge (of the host).")
    mac = (value.get("mac") or "").lower().replace("-", ":")
    if mac and not MAC.match(mac):
        raise InvalidOption(
            f"{option}.mac: '{value['mac']}' is no unicast MAC address; give one such as 52:54:00:12:34:56."
        )
    return NetworkRequest(
        network=value.get("network") or "",
        bridge=value.get("bridge") or "",
        mac=mac,
        model=value.get("model") or "",
        boot=_boot(value.get("boot"), option),
        vlan=_vlan(value.get("vlan"), option),
        default_model=model,
    )


def _vlan(value: int | None, option: str) -> int | None:
    if value is not None and not 0 <= value <= _MOST_VLAN:
        raise InvalidOption(f"{option}.vlan: {value} is no VLAN; give 1 to {_MOST_VLAN}, or 0 for none.")
    return value
