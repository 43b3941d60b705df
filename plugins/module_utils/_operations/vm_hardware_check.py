# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether the host's QEMU has the machine type, the CPU model and as many CPUs: libvirt only says so after files were made."""

from __future__ import annotations

from .._errors import InvalidOption, Unsupported
from .._hypervisor import hardware
from .._hypervisor.connection import Connection
from .._hypervisor.xml import Element, get
from .vm_host import cpu_models, emulator, host_arch, machines
from .vm_request import VmRequest


def require_hardware(root: Element, existing: Element | None, request: VmRequest, connection: Connection) -> None:
    """Raise InvalidOption or Unsupported for what a new or changed description asks for in vain."""
    if existing is not None and _hardware(existing) == _hardware(root):
        return
    arch, program = get(root, "os/type/@arch"), get(root, "devices/emulator")
    # Another program than libvirt's own may have other machines.
    if hardware.acceleration(root) not in ("kvm", "tcg") or program not in ("", emulator(connection, arch)):
        return
    offered = machines(connection, arch)
    if offered:
        _require_machine(hardware.machine(root), offered, arch)
        _require_vcpus(root, offered)
    model = request.plain("cpu")
    if model and arch == host_arch(connection):
        _require_model(hardware.cpu(root), connection, hardware.acceleration_type(root))


def _hardware(root: Element) -> tuple[object, ...]:
    return root.get("type"), hardware.machine(root), hardware.vcpus(root), hardware.cpu(root)


def _require_machine(machine: str, offered: dict[str, int], arch: str) -> None:
    if machine and machine not in offered:
        raise InvalidOption(
            f"machine: QEMU on this host has no machine {machine} for {arch}; give one that 'virsh capabilities' lists, such as "
            f"{'q35' if 'q35' in offered else min(offered)}."
        )


def _require_vcpus(root: Element, offered: dict[str, int]) -> None:
    machine, wanted = hardware.machine(root), hardware.vcpus(root)
    most = offered.get(machine, 0)
    if most and wanted > most:
        raise Unsupported(
            f"vcpus: the machine {machine} has at most {most} virtual CPUs on this host, and {wanted} are asked for; give fewer."
        )


def _require_model(model: str, connection: Connection, kind: str) -> None:
    if model in (*hardware.CPU_MODES, "default"):
        return
    known = cpu_models(connection, kind)
    if known and model not in known:
        raise InvalidOption(
            f"cpu: QEMU on this host has no CPU model {model}; give one that 'virsh domcapabilities --virttype {kind}' lists, or a mode "
            f"({', '.join(hardware.CPU_MODES)})."
        )
