# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which engine a task asks for, and the QEMU process that it means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .._errors import Conflict, InvalidOption
from .._files import real_path
from .._hypervisor.capabilities import QMP, require
from .operation import Tools

if TYPE_CHECKING:
    from .._hypervisor.qmp_process import QemuProcess


def asks_for_process(params: Mapping[str, Any]) -> bool:
    """Whether the item is about a QEMU process; raises InvalidOption unless hypervisor and socket go together."""
    wanted, given = params.get("hypervisor") == QMP, bool(params.get("socket"))
    if wanted and not given:
        raise InvalidOption("socket: nothing is given; hypervisor: qmp needs the path of the process' QMP socket.")
    if given and not wanted:
        raise InvalidOption(
            f"socket: {params['socket']} is of use with hypervisor: qmp only; add that, or leave it out."
        )
    return wanted


def socket_of(params: Mapping[str, Any]) -> str:
    """The socket with every link resolved."""
    return real_path(params["socket"])


def process_locks(params: Mapping[str, Any]) -> list[str]:
    """Two tasks never work on one process at once."""
    return [socket_of(params)]


def process_of(params: Mapping[str, Any], tools: Tools, *, name: str | None, option: str) -> QemuProcess:
    """The process; raises Conflict when it says that it is another VM than `name`."""
    process = tools.process(socket_of(params))
    if name and process.own_name not in ("", name):
        raise Conflict(
            f"{option}: the process at {process.path} is the VM {process.own_name}, not {name}; correct the name or the socket."
        )
    return process


def refuse_options(params: Mapping[str, Any], capability: str, options: Iterable[str]) -> None:
    """Raise Unsupported for the first of the options that wants something."""
    for option in options:
        if params.get(option) is not None and params[option] is not False:
            require(QMP, capability, option=option)


def name_by_socket(params: Mapping[str, Any]) -> str:
    """What a process that isn't there is called."""
    return str(params.get("name") or "") or os.path.splitext(os.path.basename(params["socket"]))[0]
