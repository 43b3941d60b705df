# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform of a VM on its XML: firmware, TPM, huge pages, pinned CPUs; and what a Windows guest has by default."""

from __future__ import annotations

from .._errors import Conflict, InvalidOption, Unsupported
from .._hypervisor import hardware, tuning
from .._hypervisor.connection import Connection
from .._hypervisor.firmware import firmware, has_enrolled_keys, secure_boot, set_firmware
from .._hypervisor.tpm import has_tpm, set_tpm
from .._hypervisor.windows import set_windows
from .._hypervisor.xml import Element
from .._sizes import format_size
from .vm_host import enlightenments, has_secure_boot, has_tpms, has_uefi, host_arch
from .vm_request import VmRequest


def set_platform(root: Element, request: VmRequest, connection: Connection, *, new: bool) -> None:
    """Set all that is declared; raises what the host can't do, and what can't be changed on a VM that is there."""
    if new and request.platform.windows:
        _set_windows(root, request, connection)
    _set_firmware(root, request, connection, new=new)
    _set_tpm(root, request, connection, new=new)
    _set_hugepages(root, request)
    _set_pins(root, request)


def _set_windows(root: Element, request: VmRequest, connection: Connection) -> None:
    """What a new Windows VM has unless the task says otherwise, as far as the host can do it."""
    wanted, arch = request.platform, host_arch(connection)
    if hardware.acceleration(root) not in ("kvm", "tcg"):
        return
    kvm = hardware.acceleration(root) == "kvm"
    set_windows(root, offered=enlightenments(connection, hardware.acceleration_type(root)), kvm=kvm)
    if wanted.tpm is None and has_tpms(connection):
        set_tpm(root, arch=arch)
    if wanted.firmware is None and has_uefi(connection):
        set_firmware(root, "uefi", secure=wanted.secure_boot is None and _can_secure(root, connection))


def _can_secure(root: Element, connection: Connection) -> bool:
    return (
        hardware.same_machine(hardware.machine(root), "q35")
        and has_secure_boot(connection)
        and has_enrolled_keys(host_arch(connection))
    )


def _set_firmware(root: Element, request: VmRequest, connection: Connection, *, new: bool) -> None:
    wanted = request.platform
    then = wanted.firmware or firmware(root)
    secure = secure_boot(root) if wanted.secure_boot is None else wanted.secure_boot
    # Declared as UEFI without a word on secure boot: as it is on a VM that has UEFI, else without.
    if then == "bios" or (wanted.secure_boot is None and firmware(root) == "bios"):
        secure = False
    if (firmware(root), secure_boot(root)) == (then, secure):
        return
    if not new and firmware(root) == then == "uefi":
        raise Conflict(
            f"secure_boot: {request.name} has UEFI {'with' if secure_boot(root) else 'without'} secure boot, and its firmware's "
            f"variables belong to that; remove the VM (its disks stay) and define it anew, or leave secure_boot out."
        )
    if then == "uefi" and not has_uefi(connection):
        from .._packages import firmware_package

        raise Unsupported(
            "firmware: libvirt knows no UEFI firmware on this host; install the package "
            f"{firmware_package(host_arch(connection))}, or use firmware: bios."
        )
    if secure:
        _require_secure_boot(root, connection)
    set_firmware(root, then, secure=secure)


def _require_secure_boot(root: Element, connection: Connection) -> None:
    if not hardware.same_machine(hardware.machine(root), "q35"):
        raise InvalidOption(
            f"secure_boot: it needs system management mode, which only the machine q35 has, and this VM is a "
            f"{hardware.machine(root) or 'machine of the default type'}; use machine: q35."
        )
    if not _can_secure(root, connection):
        from .._packages import firmware_package

        raise Unsupported(
            "secure_boot: this host has no UEFI firmware with secure boot and enrolled keys; install the package "
            f"{firmware_package(host_arch(connection))}, or leave secure_boot out."
        )


def _set_tpm(root: Element, request: VmRequest, connection: Connection, *, new: bool) -> None:
    wanted = request.platform.tpm
    if wanted is None or wanted == has_tpm(root):
        return
    if not wanted:
        raise Conflict(
            f"tpm: {request.name} has a TPM, and what its guest sealed in it would be lost; remove the VM (its disks stay) and "
            f"define it anew without, or leave tpm out."
        )
    if not has_tpms(connection):
        from .._packages import package

        raise Unsupported(f"tpm: this host can't emulate a TPM 2.0; install {package('swtpm')}, or leave tpm out.")
    set_tpm(root, arch=host_arch(connection))


def _set_hugepages(root: Element, request: VmRequest) -> None:
    wanted = request.platform.hugepages
    if wanted is not None:
        tuning.set_hugepages(root, wanted)
    found = tuning.hugepages(root)
    if not wanted or found is False:
        return
    offered = sorted(tuning.free_hugepages())
    size = tuning.host_memory().get("Hugepagesize", 0) if found is True else int(found)
    if size not in offered:
        known = ", ".join(format_size(one) for one in offered) or "none"
        raise Unsupported(
            f"hugepages: the host has no pages of {format_size(size)} (it has: {known}); give a size that it has, or reserve "
            f"such pages when it boots."
        )
    if hardware.memory(root) % size:
        raise InvalidOption(
            f"hugepages: the memory of {request.name} ({format_size(hardware.memory(root))}) is no multiple of a page of "
            f"{format_size(size)}; change memory."
        )


def _set_pins(root: Element, request: VmRequest) -> None:
    wanted = request.platform.cpu_pinning
    if wanted is None:
        return
    vcpus, online = hardware.vcpus(root), tuning.online_cpus()
    for number, text in wanted.items():
        if number >= vcpus:
            raise InvalidOption(
                f"cpu_pinning[{number}]: the VM {request.name} has {vcpus} virtual CPUs, and they count from 0; leave this one out."
            )
        missing = (tuning.cpu_set(text) or frozenset()) - online
        if missing:
            raise Unsupported(
                f"cpu_pinning[{number}]: the host has no CPU {tuning.cpu_text(missing)} (it has {tuning.cpu_text(online)}); name "
                f"CPUs that it has."
            )
    tuning.set_pins(root, wanted)
