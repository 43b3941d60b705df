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
from .._files import require_folders
from .._hypervisor.connection import require_local
from .._sizes import parse_size
from .vm_request_checks import check_text, check_unique
from .vm_request_devices import DiskRequest, NetworkRequest, read_disks, read_networks
from .vm_request_platform import Platform, read_platform

_NAME = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,127}\Z")
# Options of the plain description; whole XML says all of this itself.
_PLAIN = (
    "memory", "vcpus", "cpu", "machine", "title", "description", "disks", "networks", "console", "agent", "cloud_init", "firmware",
    "graphics", "acceleration", "secure_boot", "tpm", "hugepages", "cpu_pinning", "os", "virtio_media",
)  # fmt: skip
_RUNNING = ("running", "restarted", "present")
# libvirt's schema has an unsignedShort here.
_MOST_VCPUS = 65535
# The widest physical addresses of x86 and of Arm have 52 bits.
_MOST_MEMORY = 1 << 52
_MOST_PORT = 65535


@dataclass(frozen=True)
class WaitRequest:
    """What to wait for; `ip` is the way by which an address is looked for (empty: none is), `ssh` a port (0: none).

    `screenshot` is the folder for a picture of the screen when it didn't come (empty: none is taken).
    """

    running: bool
    console: re.Pattern[str] | None
    timeout: float
    agent: bool = False
    ip: str = ""
    ssh: int = 0
    cloud_init: bool = False
    screenshot: str = ""

    @property
    def anything(self) -> bool:
        """Whether there is anything to wait for."""
        return bool(self.running or self.console or self.agent or self.ip or self.ssh or self.cloud_init)


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
    platform: Platform

    def plain(self, option: str) -> Any:
        """The declared value of another option, None when it was left out."""
        return self.params.get(option)

    @property
    def whole(self) -> bool:
        """Whether `xml` is all of the VM, and not a part beside the plain description."""
        return bool(self.plain("xml")) and not any(self.plain(name) is not None for name in _PLAIN)


def read_request(params: dict[str, Any]) -> VmRequest:
    """The request in the parameters `params`; raises InvalidOption, NotFound or Unsupported."""
    check_name(params["name"])
    require_local(params["uri"])
    check_text(params)
    check_unique(params)
    require_folders(params.get("search_paths") or (), option="search_paths")
    return VmRequest(
        name=params["name"],
        state=params["state"],
        uri=params["uri"],
        memory=_memory(params.get("memory")),
        vcpus=_vcpus(params.get("vcpus")),
        disks=read_disks(params),
        networks=read_networks(params),
        wait_for=read_wait(params.get("wait_for"), params["state"]),
        shutdown_timeout=float(params["shutdown_timeout"]),
        force_stop=params["force_stop"],
        remove_disks=params["remove_disks"],
        search_paths=tuple(params.get("search_paths") or ()),
        params=params,
        platform=read_platform(params),
    )


def check_name(name: str) -> None:
    """Raise InvalidOption for a name that can't be part of a file's name."""
    if not _NAME.match(name):
        raise InvalidOption(
            f"name: '{name}' can't name a VM; use letters, digits, '.', '_', '+' and '-', beginning with a letter or digit."
        )


def _memory(value: Any) -> int | None:
    if value is None:
        return None
    size = parse_size(value, option="memory")
    if size < 1 << 20 or size % 1024:
        raise InvalidOption(f"memory: '{value}' is not at least 1 MiB in whole KiB; give a size such as 1GiB.")
    if size > _MOST_MEMORY:
        raise InvalidOption(f"memory: '{value}' is more than any machine can address; give 4PiB at most.")
    return size


def _vcpus(value: Any) -> int | None:
    if value is not None and not 1 <= value <= _MOST_VCPUS:
        raise InvalidOption(f"vcpus: {value} is no number of CPUs; give 1 to {_MOST_VCPUS}.")
    return int(value) if value is not None else None


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
    port = value.get("ssh")
    if port is not None and not 1 <= port <= _MOST_PORT:
        raise InvalidOption(
            f"wait_for.ssh: {port} is no port; give the one that the SSH server listens on, such as 22."
        )
    return WaitRequest(
        running=bool(value.get("running")),
        console=console,
        timeout=float(value["timeout"]),
        agent=bool(value.get("agent")),
        ip=value.get("ip") or "",
        ssh=port or 0,
        cloud_init=bool(value.get("cloud_init")),
        screenshot=_folder(value.get("screenshot")),
    )


def _folder(path: str | None) -> str:
    """The folder for pictures; raises InvalidOption for what is none."""
    if path and not os.path.isdir(path):
        raise InvalidOption(
            f"wait_for.screenshot: {path} is no folder of this host; create it first, or give another one."
        )
    return path or ""
