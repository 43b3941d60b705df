# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an export is asked to do, in values that a job can carry and a record can keep."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import Conflict, InvalidOption, Unsupported
from .._files import real_path, require_absolute, require_folder
from .._hypervisor.devices import target_name
from .._jobs.launch import Job
from .._portable import ovf_writer
from .._portable.machine import UEFI, Drive, Machine, Nic, machine_of
from .._portable.ovf_names import ADAPTERS, VMWARE
from .._portable.presets import MOST_OF_FORMAT, OVA, OVF, PRESETS, Preset, aligned
from .._qemu.node import is_block_device
from .._sizes import format_size, parse_size
from .convert_images import needs_passphrase
from .export_state import KIND, mark, state_of
from .inspection import Inspected, inspect
from .long_work import bandwidth_of, check_timeout
from .operation import Tools

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
# Two channels with two places each.
_MOST_ON_IDE = 4
_MOST_MEMORY, _MOST_CPUS = 1 << 44, 4096


@dataclass(frozen=True)
class ExportDisk:
    """A disk to export; plain values only. `files` are path and fingerprint of its chain's files, itself first."""

    name: str
    path: str
    format: str
    size: int
    files: list[dict[str, Any]]

    @property
    def backing(self) -> list[str]:
        return [one["path"] for one in self.files[1:]]


@dataclass(frozen=True)
class ExportRequest:
    """One export. `format` is that of the disks in it; `vm` the name of the VM that they are from; sizes are bytes.

    `left_out` are sentences on what of the VM isn't in it, `before` what stands at `dest` now.
    """

    dest: str
    preset: str
    format: str
    disks: list[ExportDisk]
    machine: Machine
    left_out: list[str]
    hardware: int
    adapter: str
    vm: str = ""
    signing: dict[str, Any] = field(default_factory=dict)
    bandwidth: int | None = None
    owner: str | None = None
    group: str | None = None
    mode: str | int | None = None
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def rules(self) -> Preset:
        """What the platform demands."""
        return PRESETS[self.preset]

    @property
    def base(self) -> str:
        """What the names of its files begin with."""
        return _NOT_IN_NAMES.sub("-", self.machine.name).strip("-.")[:63] or "vm"

    @property
    def flavour(self) -> ovf_writer.Flavour:
        """How its OVF descriptor is written."""
        return ovf_writer.Flavour(self.rules.dialect or VMWARE, self.hardware, self.adapter)

    @property
    def made_from(self) -> dict[str, Any]:
        """The sources as the record keeps them."""
        return {"path": self.disks[0].path, "disks": [asdict(disk) for disk in self.disks]}

    @property
    def declared(self) -> dict[str, Any]:
        """What makes the export what it is, beside the disks' content."""
        ours = self.rules.layout in (OVA, OVF)
        return {
            "preset": self.preset,
            "disk_format": self.format,
            "machine": self.machine.as_dict(),
            **({"hardware_version": self.hardware, "adapter": self.adapter} if ours else {}),
            **({"signing": self.signing} if self.signing else {}),
        }

    def job(self, version: str) -> Job:
        """The job that does it; equal requests give equal jobs."""
        params = {**asdict(self), "machine": self.machine.as_dict(), "tool": f"imageops.fleet {version}"}
        return Job(KIND, self.dest, params, _entry)


def _entry() -> str:
    from . import export_job

    return export_job.__name__


def request_of_job(params: Mapping[str, Any]) -> ExportRequest:
    """The request that a job's params describe."""
    plain = {name: params[name] for name in ExportRequest.__dataclass_fields__}
    return ExportRequest(
        **{
            **plain,
            "disks": [ExportDisk(**disk) for disk in params["disks"]],
            "machine": machine_of(params["machine"]),
        }
    )


def read_request(params: dict[str, Any], tools: Tools) -> ExportRequest:
    """Inspect the sources and check all that one export was given; raises what speaks against it, with the option's name."""
    check_timeout(params)
    preset = _preset(params)
    dest = _destination(params, preset)
    format = _format(params, preset, dest)
    disks, machine, left_out = _sources(params, tools, dest)
    machine = _adjusted(machine, params)
    request = ExportRequest(
        dest=dest,
        preset=preset.name,
        format=format,
        disks=disks,
        machine=machine.with_sizes({disk.name: aligned(disk.size, preset) for disk in disks}),
        left_out=left_out,
        hardware=_hardware(params),
        adapter=params["adapter"] or "",
        vm=params["vm"] or "",
        signing=_signing(params, preset),
        bandwidth=bandwidth_of(params),
        owner=params["owner"],
        group=params["group"],
        mode=params["mode"],
        before=state_of(dest),
    )
    _check(request)
    return request


def _preset(params: Mapping[str, Any]) -> Preset:
    if not params["preset"]:
        raise InvalidOption(
            f"preset: nothing says which platform {params['dest']} is for; give one of {', '.join(PRESETS)}."
        )
    return PRESETS[params["preset"]]


def _destination(params: Mapping[str, Any], preset: Preset) -> str:
    require_absolute(params["dest"], option="dest")
    dest = real_path(params["dest"])
    require_folder(dest, option="dest")
    if os.path.lexists(dest) and not (os.path.isdir(dest) if preset.folder else os.path.isfile(dest)):
        wanted = "a folder" if preset.folder else "a file"
        raise Conflict(
            f"dest: {dest} is there and is not {wanted}, which preset {preset.name} makes; give another path."
        )
    if preset.suffixes and not dest.endswith(preset.suffixes):
        raise InvalidOption(
            f"dest: the name of an export for {preset.name} ends with {' or '.join(preset.suffixes)}, and {dest} does not; give "
            f"another one."
        )
    return dest


def _format(params: Mapping[str, Any], preset: Preset, dest: str) -> str:
    given = params["disk_format"]
    if preset.folder:
        known = list(preset.formats.values())
        found = given or known[0]
    else:
        known = [format for suffix, format in preset.formats.items() if dest.endswith(suffix)]
        found = given or known[0]
    if found not in known and not (found == "vhd" and known == ["vhd-fixed"]):
        raise InvalidOption(
            f"disk_format: disks in {dest} for {preset.name} are {' or '.join(known)}, and {found} is given; leave it out, or "
            f"give one of these."
        )
    return known[0] if not preset.folder else found


def _sources(params: dict[str, Any], tools: Tools, dest: str) -> tuple[list[ExportDisk], Machine, list[str]]:
    if bool(params["disks"]) == bool(params["vm"]):
        raise InvalidOption(f"disks: say what {params['dest']} is made from, by either disks or vm.")
    if params["vm"]:
        from .export_vm import source_of_vm

        return source_of_vm(params, tools)
    disks = [_disk_of_file(given, number) for number, given in enumerate(params["disks"])]
    _require_names(disks)
    name = os.path.basename(dest)
    for suffix in (".tar.gz", ".ova", ".box", ".vhdx", ".vhd", ".vmdk", ".raw", ".tar"):
        name = name.removesuffix(suffix)
    return disks, Machine(name, drives=tuple(Drive(disk.name, size=disk.size) for disk in disks)), []


def _disk_of_file(given: Mapping[str, Any], number: int) -> ExportDisk:
    image = inspect(given["path"], declared=given["format"], backing=given["backing"] or (), option="disks")
    return export_disk(given["name"] or target_name("virtio", number), image)


def export_disk(name: str, image: Inspected) -> ExportDisk:
    """What is exported of an inspected image; raises Unsupported for an encrypted one, InvalidOption for one without content."""
    if needs_passphrase(image):
        raise Unsupported(
            f"disks: {image.path} is encrypted, and an export holds what the guest sees; decrypt it with imageops.fleet.disk_convert first."
        )
    if not image.virtual_size:
        raise InvalidOption(f"disks: {image.path} holds no byte of a disk, so nothing can be made of it; give another.")
    return ExportDisk(name, image.path, image.format, image.virtual_size, image.identity())


def _require_names(disks: list[ExportDisk]) -> None:
    names = [disk.name for disk in disks]
    for name in names:
        if not _NAME.fullmatch(name) or names.count(name) > 1:
            raise InvalidOption(
                f"disks: the name '{name[:80]}' is given twice, or is none; give each disk its own, of letters, digits, '.', '_' and '-'."
            )


def _adjusted(machine: Machine, params: Mapping[str, Any]) -> Machine:
    """The machine with what the task says of it."""
    given = {key: value for key, value in (params["machine"] or {}).items() if value is not None}
    values: dict[str, Any] = {key: given[key] for key in ("os", "description", "chipset", "arch") if key in given}
    if params["name"]:
        values["name"] = params["name"]
    if "vcpus" in given:
        values["vcpus"], values["cores"] = given["vcpus"], 0
    if "memory" in given:
        values["memory"] = parse_size(given["memory"], option="machine.memory")
    if "firmware" in given:
        values["firmware"] = given["firmware"]
    if "secure_boot" in given:
        values["secure_boot"] = given["secure_boot"]
    if "networks" in given:
        model = given.get("nic_model", "virtio")
        values["nics"] = tuple(Nic(model, network=network) for network in given["networks"])
    elif "nic_model" in given:
        values["nics"] = tuple(Nic(given["nic_model"], nic.mac, nic.network) for nic in machine.nics)
    if "bus" in given:
        values["drives"] = tuple(Drive(one.name, given["bus"], one.size, one.boot) for one in machine.drives)
    found = Machine(**{**machine.__dict__, **values})
    if not 1 <= found.vcpus <= _MOST_CPUS or not 1 << 20 <= found.memory <= _MOST_MEMORY:
        raise InvalidOption(
            f"machine: {found.vcpus} CPUs and {format_size(found.memory)} of memory are no machine; give 1 to {_MOST_CPUS} CPUs, and "
            f"memory from 1MiB to 16TiB."
        )
    if found.secure_boot and found.firmware != UEFI:
        raise InvalidOption("machine: secure_boot is a part of UEFI; give firmware: uefi too, or leave it out.")
    return found


def _hardware(params: Mapping[str, Any]) -> int:
    found: int = params["hardware_version"]
    if not ovf_writer.LEAST_HARDWARE <= found <= ovf_writer.MOST_HARDWARE:
        raise InvalidOption(
            f"hardware_version: {found} is none of VMware's, which are {ovf_writer.LEAST_HARDWARE} to {ovf_writer.MOST_HARDWARE}; give one "
            f"of these."
        )
    return found


def _signing(params: Mapping[str, Any], preset: Preset) -> dict[str, Any]:
    """Path and fingerprint of certificate and key; nothing when the export isn't signed."""
    paths = {name: params[name] for name in ("certificate", "private_key") if params[name]}
    if not paths:
        return {}
    if len(paths) == 1:
        raise InvalidOption("certificate: signing takes both certificate and private_key; give both, or neither.")
    if preset.layout not in (OVA, OVF):
        raise InvalidOption(
            f"certificate: an export for {preset.name} has no manifest that could be signed; leave it and private_key out."
        )
    found = {}
    for name, path in paths.items():
        require_absolute(path, option=name)
        if not os.path.isfile(path):
            raise InvalidOption(f"{name}: there is no file {path} on the host; give the path of one.")
        found[name] = {"path": path, **mark(path)}
    return found


def _check(request: ExportRequest) -> None:
    preset = request.rules
    if not 0 < len(request.disks) <= preset.most_disks:
        each = " Make an export of each by 'disks'." if preset.most_disks == 1 else ""
        raise InvalidOption(
            f"disks: an export for {preset.name} has {f'1 to {preset.most_disks} disks' if preset.most_disks > 1 else 'one disk'}, and "
            f"{len(request.disks)} are given.{each}"
        )
    most = min(preset.most_size, MOST_OF_FORMAT.get(request.format, preset.most_size))
    for disk in request.disks:
        if aligned(disk.size, preset) > most:
            raise Unsupported(
                f"disks: {disk.path} has {format_size(disk.size)}, and a disk for {preset.name} has {format_size(most)} at most; choose "
                f"another preset or format."
            )
        if request.dest in (disk.path, *(one["path"] for one in disk.files)) or _is_inside(request.dest, disk, preset):
            raise InvalidOption(f"dest: {request.dest} is, or holds, a disk that is exported; give another path.")
        if any(is_block_device(one["path"]) for one in disk.files):
            from .device_kind import require_plain

            for one in disk.files:
                if is_block_device(one["path"]):
                    require_plain(
                        one["path"],
                        option="disks",
                        instead="copy it into a file with a tool of its own, and export that",
                    )
    if request.adapter and request.adapter not in ADAPTERS:
        raise InvalidOption(f"adapter: '{request.adapter}' is none; give one of {', '.join(ADAPTERS)}.")
    on_ide = sum(request.flavour.adapter_of(drive.bus) == "ide" for drive in request.machine.drives)
    if preset.layout in (OVA, OVF) and on_ide > _MOST_ON_IDE:
        raise InvalidOption(
            f"adapter: {on_ide} disks are on IDE, and no machine has room for more than {_MOST_ON_IDE} there; give another adapter or bus."
        )
    wrong = ovf_writer.refusals(request.machine, request.flavour) if preset.layout in (OVA, OVF) else []
    if wrong:
        raise InvalidOption(
            f"hardware_version: of a machine of version {request.hardware} {', and '.join(wrong)}; give a later one."
        )


def _is_inside(dest: str, disk: ExportDisk, preset: Preset) -> bool:
    return preset.folder and any(one["path"].startswith(dest + os.sep) for one in disk.files)
