# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks of one VM, checked as far as that is possible without looking at the host."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .._formats.names import canonical_format
from .._hypervisor.connection import require_local
from .._hypervisor.devices import PREFIXES
from .._sizes import parse_size
from .vm_request_checks import check_text, check_unique, disk_size

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}\Z")
_MAC = re.compile(r"^[0-9a-f][02468ace](:[0-9a-f]{2}){5}\Z")
_TARGET = re.compile(r"^(vd|sd|hd)[a-z]{1,2}\Z")
# Options of the plain description; whole XML says all of this itself.
_PLAIN = (
    "memory", "vcpus", "cpu", "machine", "title", "description", "disks", "networks", "console", "cloud_init", "firmware",
    "graphics", "acceleration",
)  # fmt: skip
_RUNNING = ("running", "restarted", "present")
# libvirt's schema has an unsignedShort here.
_MOST_VCPUS = 65535


@dataclass(frozen=True)
class DiskRequest:
    """One disk of the description; empty strings and None are what was left out, `bus_told` whether `bus` was given."""

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


@dataclass(frozen=True)
class NetworkRequest:
    """One network interface of the description."""

    network: str
    bridge: str
    mac: str
    model: str
    boot: int | None


@dataclass(frozen=True)
class WaitRequest:
    """What to wait for."""

    running: bool
    console: re.Pattern[str] | None
    timeout: float


@dataclass(frozen=True)
class VmRequest:
    """One VM; None is what was left out, and stays as it is on a VM that exists."""

    name: str
    state: str
    uri: str
    memory: int | None
    vcpus: int | None
    disks: tuple[DiskRequest, ...] | None
    networks: tuple[NetworkRequest, ...] | None
    wait_for: WaitRequest | None
    shutdown_timeout: float
    force_stop: bool
    remove_disks: bool
    search_paths: tuple[str, ...]
    params: dict[str, Any]

    def plain(self, option: str) -> Any:
        """The declared value of another option, None when it was left out."""
        return self.params.get(option)


def read_request(params: dict[str, Any]) -> VmRequest:
    """The request in the parameters `params`; raises InvalidOption or Unsupported."""
    check_name(params["name"])
    require_local(params["uri"])
    _check_combinations(params)
    check_text(params)
    check_unique(params)
    return VmRequest(
        name=params["name"],
        state=params["state"],
        uri=params["uri"],
        memory=_memory(params.get("memory")),
        vcpus=_vcpus(params.get("vcpus")),
        disks=_listed(params.get("disks"), _disk),
        networks=_listed(params.get("networks"), _network),
        wait_for=read_wait(params.get("wait_for"), params["state"]),
        shutdown_timeout=float(params["shutdown_timeout"]),
        force_stop=params["force_stop"],
        remove_disks=params["remove_disks"],
        search_paths=tuple(params.get("search_paths") or ()),
        params=params,
    )


def check_name(name: str) -> None:
    """Raise InvalidOption for a name that can't be part of a file's name."""
    if not _NAME.match(name):
        raise InvalidOption(
            f"name: '{name}' can't name a VM; use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit."
        )


def _check_combinations(params: dict[str, Any]) -> None:
    if not params.get("xml"):
        return
    both = [name for name in _PLAIN if params.get(name) is not None]
    if both:
        raise InvalidOption(f"xml: whole XML describes the VM alone; leave out {', '.join(both)}, or leave out xml.")


def _listed(values: Any, read: Any) -> Any:
    return None if values is None else tuple(read(value, f"[{number}]") for number, value in enumerate(values))


def _memory(value: Any) -> int | None:
    if value is None:
        return None
    size = parse_size(value, option="memory")
    if size < 1 << 20 or size % 1024:
        raise InvalidOption(f"memory: '{value}' is not at least 1 MiB in whole KiB; give a size such as 1GiB.")
    return size


def _vcpus(value: Any) -> int | None:
    if value is not None and not 1 <= value <= _MOST_VCPUS:
        raise InvalidOption(f"vcpus: {value} is no number of CPUs; give 1 to {_MOST_VCPUS}.")
    return int(value) if value is not None else None


def _disk(value: dict[str, Any], place: str) -> DiskRequest:
    option = f"disks{place}"
    bus = value.get("bus") or ("sata" if value.get("device") == "cdrom" else "virtio")
    request = DiskRequest(
        target=value.get("target") or "",
        bus_told=bool(value.get("bus")),
        bus=bus,
        device=value.get("device") or "disk",
        path=_path(value.get("path"), f"{option}.path"),
        image=_path(value.get("image"), f"{option}.image"),
        image_format=value.get("image_format"),
        copy=value.get("copy") or "linked",
        format=canonical_format(value["format"], option=f"{option}.format") if value.get("format") else "",
        size=disk_size(value.get("size"), option=f"{option}.size"),
        readonly=value.get("readonly"),
        boot=_boot(value.get("boot"), option),
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


def _path(value: str | None, option: str) -> str:
    if not value:
        return ""
    path = os.path.expanduser(value)
    if not os.path.isabs(path):
        raise InvalidOption(f"{option}: '{value}' is not an absolute path.")
    return os.path.normpath(path)


def _boot(value: int | None, option: str) -> int | None:
    if value is not None and value < 1:
        raise InvalidOption(f"{option}.boot: {value} is no place in the boot order; the first is 1.")
    return value


def _network(value: dict[str, Any], place: str) -> NetworkRequest:
    option = f"networks{place}"
    if bool(value.get("network")) == bool(value.get("bridge")):
        raise InvalidOption(f"{option}: give either network (one of libvirt's) or bridge (of the host).")
    mac = (value.get("mac") or "").lower().replace("-", ":")
    if mac and not _MAC.match(mac):
        raise InvalidOption(
            f"{option}.mac: '{value['mac']}' is no unicast MAC address; give one such as 52:54:00:12:34:56."
        )
    return NetworkRequest(
        network=value.get("network") or "",
        bridge=value.get("bridge") or "",
        mac=mac,
        model=value.get("model") or "",
        boot=_boot(value.get("boot"), option),
    )


def read_wait(value: dict[str, Any] | None, state: str) -> WaitRequest | None:
    """What to wait for; raises InvalidOption for a VM that won't run, or a pattern that is none."""
    if value is None:
        return None
    if state not in _RUNNING:
        raise InvalidOption(
            f"wait_for: a VM that shall be {state} says nothing; leave wait_for out, or use state: running."
        )
    try:
        console = re.compile(value["console"], re.MULTILINE) if value.get("console") else None
    except re.error as error:
        raise InvalidOption(f"wait_for.console: '{value['console']}' is no regular expression: {error}.") from None
    return WaitRequest(bool(value.get("running")), console, float(value["timeout"]))
