# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a host an installation needs, asked before anything is made."""

from __future__ import annotations

import functools
import os
from typing import Any

from .._errors import Conflict, InvalidOption, NotFound, Unsupported
from .._files import require_regular, require_space
from .._formats.boot_files import START, is_initrd, is_kernel
from .._formats.iso9660 import MAGIC, MAGIC_AT
from .._hypervisor import host
from .._hypervisor.connection import Connection
from .._sizes import format_size
from .operation import Tools
from .vm_host import acceleration, console_log, has_uefi, host_arch, require_bridge, require_network
from .vm_install_media import member_start
from .vm_install_request import NETWORK, InstallRequest
from .vm_session import is_session

# Nothing that deserves to be called a system is smaller; a task that knows better tells `space`.
_LEAST_SPACE = 1 << 30


def machine_for(request: InstallRequest, connection: Connection) -> dict[str, Any]:
    """The machine's hardware, as a job carries it; raises Unsupported for an accelerator that doesn't work here."""
    from .vm_install import domain_name

    wanted = acceleration(connection, request.params["acceleration"])
    arch = host_arch(connection)
    best = (
        "host-passthrough"
        if wanted.kind == "kvm"
        else "maximum"
        if wanted.kind == "tcg" and arch == "x86_64"
        else "default"
    )
    return {
        "memory": request.memory,
        "vcpus": request.vcpus,
        "cpu": request.params["cpu"] or best,
        "machine": request.params["machine"] or ("q35" if arch == "x86_64" and wanted.kind in ("kvm", "tcg") else ""),
        "arch": arch,
        "acceleration": {"kind": wanted.kind, "reason": wanted.reason},
        "firmware": request.firmware,
        "graphics": request.params["graphics"],
        "network": request.network,
        "bridge": request.bridge,
        "log": console_log(request.uri, domain_name(request.path)),
    }


def require_host(request: InstallRequest, connection: Connection, tools: Tools, *, at_once: int) -> None:
    """Raise what speaks against the installation on this host, beside others of the task, of which so many run at once."""
    _require_media(request, host_arch(connection))
    if request.firmware == "uefi" and not has_uefi(connection):
        raise Unsupported(
            "firmware: libvirt knows no UEFI firmware on this host; install the package ovmf (Debian; edk2-ovmf on Fedora), or use firmware: bios."
        )
    if request.network:
        require_network(connection, request.network, option="network")
    if request.bridge:
        require_bridge(request.bridge, option="bridge")
    if request.served and is_session(request.uri):
        raise Unsupported(
            "boot: a user's own libvirt has no networks that serve files; use qemu:///system, or 'boot: direct'."
        )
    if request.boot == NETWORK and not request.served and not (request.network or request.bridge):
        raise InvalidOption(
            "network: 'boot: network' without files to serve needs the network, or the bridge, whose own service answers."
        )
    _require_memory(request, tools, at_once)
    least = min(request.size or _LEAST_SPACE, _LEAST_SPACE)
    require_space(
        request.path, request.space if request.space is not None else least, what=f"Installing {request.path}"
    )


def _require_memory(request: InstallRequest, tools: Tools, at_once: int) -> None:
    wanted = tools.forecast.setdefault("memory of installers", {})
    wanted[request.path] = request.memory
    most = sorted(wanted.values())[-at_once:]
    total, available = host.memory()
    if sum(most) > available:
        who = "the installer" if len(most) == 1 else f"{len(most)} installers that run at once"
        raise Conflict(
            f"memory: {who} shall have {format_size(sum(most))}, and of the host's {format_size(total)} only {format_size(available)} are "
            f"free; stop something, give less, or make several tasks of a list."
        )


def _require_media(request: InstallRequest, arch: str) -> None:
    for option, path in request.media.items():
        require_regular(path, option=option)
    if request.iso:
        _require_iso(request.iso)
    for option, path, test, what in (
        ("kernel", request.kernel, functools.partial(is_kernel, arch=arch), f"a kernel for {arch}"),
        ("initrd", request.initrd, is_initrd, "an initial RAM file system"),
    ):
        if path and not test(
            _start(path) if path.startswith("/") else member_start(request.iso, path, START, option=option)
        ):
            raise InvalidOption(f"{option}: {path} doesn't begin like {what}; give the path of one.")
    if request.tftp_root:
        _require_tree(request)


def _start(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read(START)


def _require_iso(path: str) -> None:
    with open(path, "rb") as stream:
        stream.seek(MAGIC_AT)
        if stream.read(len(MAGIC)) != MAGIC:
            raise InvalidOption(f"iso: {path} has no volume descriptor of ISO 9660; give the path of an ISO image.")


def _require_tree(request: InstallRequest) -> None:
    if not os.path.isdir(request.tftp_root):
        raise NotFound(
            f"tftp_root: {request.tftp_root} is no folder of this host; create it first, or give another one."
        )
    if not os.path.isfile(os.path.join(request.tftp_root, request.boot_file)):
        raise NotFound(
            f"boot_file: {request.tftp_root} has no file {request.boot_file}; give the path of one below it."
        )
