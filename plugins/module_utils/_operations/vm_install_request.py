# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks of one installation, checked as far as that is possible without a look at the host."""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .._files import Fingerprint, fingerprint, real_path, require_absolute
from .._formats.names import canonical_format
from .._hypervisor.connection import require_local
from .._sizes import parse_size
from .vm_install_answers import Answers, read_answers, slow_digest
from .vm_request_checks import disk_size, require_xml_text

DIRECT, CDROM, NETWORK = "direct", "cdrom", "network"
POWEROFF, CONSOLE, AGENT = "poweroff", "console", "agent"
_LEAST_MEMORY = 16 << 20
_MOST_VCPUS = 4096
# The host and a guest need an address each, and libvirt gives out 65535 at most.
_PREFIXES = range(16, 31)


@dataclass(frozen=True)
class Finish:
    """How the end is known; patterns are texts, since jobs carry them."""

    when: str
    console: str
    failure: str
    progress: str
    timeout: int
    reboot_ends: bool
    screenshot: str


@dataclass(frozen=True)
class InstallRequest:
    """One installation. `kernel` and `initrd` that don't begin with a slash are files on the ISO image."""

    path: str
    format: str
    size: int | None
    boot: str
    kernel: str
    initrd: str
    arguments: str
    iso: str
    tftp_root: str
    boot_file: str
    subnet: str
    answers: Answers | None
    memory: int
    vcpus: int
    firmware: str
    network: str
    bridge: str
    finish: Finish
    space: int | None
    uri: str
    params: dict[str, Any]

    @property
    def served(self) -> bool:
        """Whether files are served for the time of the installation."""
        return self.boot == NETWORK and bool(self.kernel or self.tftp_root)

    @property
    def media(self) -> dict[str, str]:
        """The files of this host that the installer comes from, by option."""
        named = {"kernel": self.kernel, "initrd": self.initrd, "iso": self.iso}
        return {option: path for option, path in named.items() if path.startswith("/")}

    def made_from(self) -> list[dict[str, Any]]:
        """The media with their fingerprints: what a record keeps."""
        return [_identity(option, path) for option, path in sorted(self.media.items())]

    def declared(self) -> dict[str, Any]:
        """What of the task makes another disk: what a record keeps beside the media."""
        found = {
            "boot": self.boot,
            "kernel": self.kernel,
            "initrd": self.initrd,
            "arguments": slow_digest(self.arguments, self.path) if self.arguments else "",
            "iso": self.iso,
            "tftp_root": self.tftp_root,
            "boot_file": self.boot_file,
            "firmware": self.firmware,
            "size": self.size,
            "answers": f"{self.answers.kind}:{self.answers.digest(self.path)}" if self.answers else "",
        }
        return {name: value for name, value in found.items() if value}


def _identity(option: str, path: str) -> dict[str, Any]:
    found = fingerprint(path)
    return {"option": option, "path": path, **(found.as_dict() if found else {})}


def is_same_media(wanted: list[dict[str, Any]], recorded: Any) -> bool:
    """Whether a disk was made from these media; one that is gone by now is known by its name alone."""
    if not isinstance(recorded, list) or len(wanted) != len(recorded):
        return False
    fields = tuple(Fingerprint.__dataclass_fields__)
    for one, other in zip(wanted, recorded):
        names = ("option", "path", *(fields if "ino" in one else ()))
        if not isinstance(other, dict) or any(one[name] != other.get(name) for name in names):
            return False
    return True


def read_request(params: dict[str, Any]) -> InstallRequest:
    """The request in the parameters `params`; raises InvalidOption or Unsupported."""
    require_local(params["uri"])
    require_absolute(params["path"], option="path")
    boot = _boot(params)
    kernel, initrd = _kernel(params, boot)
    return InstallRequest(
        path=real_path(params["path"]),
        format=canonical_format(params["format"]),
        size=disk_size(params["size"], option="size"),
        boot=boot,
        kernel=kernel,
        initrd=initrd,
        arguments=_arguments(params, kernel),
        iso=_file(params["iso"], "iso"),
        tftp_root=_file(params["tftp_root"], "tftp_root"),
        boot_file=_boot_file(params, boot, kernel),
        subnet=_subnet(params, boot, kernel),
        answers=read_answers(params["answers"], starts_kernel=bool(kernel)),
        memory=_memory(params["memory"]),
        vcpus=_vcpus(params["vcpus"]),
        firmware=params["firmware"],
        network=params["network"] or "",
        bridge=params["bridge"] or "",
        finish=_finish(params["finish"]),
        space=parse_size(params["space"], option="space") if params["space"] else None,
        uri=params["uri"],
        params=params,
    )


def _boot(params: dict[str, Any]) -> str:
    """How the installer starts: as told, else by what is given."""
    given = params["boot"] or (DIRECT if params["kernel"] else CDROM if params["iso"] else NETWORK)
    needs = {DIRECT: "kernel", CDROM: "iso"}.get(given)
    if needs and not params[needs]:
        raise InvalidOption(
            f"{needs}: nothing is given, and 'boot: {given}' starts the installer from it; give a path."
        )
    if given == CDROM and params["kernel"]:
        raise InvalidOption(
            "kernel: 'boot: cdrom' starts what the CD's own loader starts; use 'boot: direct', or leave kernel out."
        )
    if (
        params["boot"] is None
        and given == NETWORK
        and not (params["tftp_root"] or params["network"] or params["bridge"])
    ):
        raise InvalidOption("kernel: nothing is given to install from; give kernel and initrd, iso, or boot: network.")
    return str(given)


def _kernel(params: dict[str, Any], boot: str) -> tuple[str, str]:
    kernel, initrd = params["kernel"] or "", params["initrd"] or ""
    if initrd and not kernel:
        raise InvalidOption("initrd: it belongs to a kernel; give kernel too.")
    for option, path in (("kernel", kernel), ("initrd", initrd)):
        if path and not os.path.isabs(path) and not params["iso"]:
            raise InvalidOption(
                f"{option}: '{path}' is not an absolute path, so it names a file on an ISO image; give iso too."
            )
    if kernel and params["answers"] and params["answers"]["kind"] == "preseed" and not initrd:
        raise InvalidOption("initrd: a preseed file is put into it; give the installer's initrd.")
    if boot == NETWORK and kernel and params["firmware"] == "uefi":
        raise InvalidOption(
            "boot: a kernel is served by a script for the network card's own iPXE, which UEFI doesn't start; use 'boot: direct', or give tftp_root "
            "and a boot_file for UEFI."
        )
    return tuple(real_path(path) if os.path.isabs(path) else path for path in (kernel, initrd))  # type: ignore[return-value]


def _arguments(params: dict[str, Any], kernel: str) -> str:
    text = params["arguments"] or ""
    if text and not kernel:
        raise InvalidOption(
            "arguments: they are for a kernel that the task starts; give kernel too, or leave them out."
        )
    require_xml_text(text, option="arguments")
    if "\n" in text or "\r" in text:
        raise InvalidOption("arguments: they have more than one line; give one line.")
    return str(text)


def _file(path: str | None, option: str) -> str:
    if not path:
        return ""
    require_absolute(path, option=option)
    return real_path(path)


def _boot_file(params: dict[str, Any], boot: str, kernel: str) -> str:
    root, name = params["tftp_root"], params["boot_file"] or ""
    if bool(root) != bool(name):
        raise InvalidOption("boot_file: it names the file of tftp_root that is started; give both, or none of them.")
    if root and (boot != NETWORK or kernel):
        raise InvalidOption(
            "tftp_root: files are served for 'boot: network' without a kernel; leave kernel, or tftp_root, out."
        )
    if name and (name.startswith("/") or ".." in name.split("/")):
        raise InvalidOption(f"boot_file: '{name}' leads out of tftp_root; give a path below it.")
    return str(name)


def _subnet(params: dict[str, Any], boot: str, kernel: str) -> str:
    served = boot == NETWORK and bool(kernel or params["tftp_root"])
    for option in ("network", "bridge"):
        if served and params[option]:
            raise InvalidOption(
                f"{option}: the files of the network boot are served on a network of the installation's own, which leads outside too; leave "
                f"{option} out."
            )
    if params["network"] and params["bridge"]:
        raise InvalidOption("bridge: the installer has one interface, and network is given too; leave one of them out.")
    text = params["subnet"] or ""
    if text and not served:
        raise InvalidOption("subnet: it is for 'boot: network' with files that the task serves; leave it out.")
    if not text:
        return ""
    try:
        found = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise InvalidOption(
            f"subnet: '{text}' is no IPv4 network ({error}); give one such as 192.168.177.0/24."
        ) from None
    if found.prefixlen not in _PREFIXES:
        raise InvalidOption(
            f"subnet: {found} is too large or too small to give its addresses out; give a prefix of /{_PREFIXES[0]} to /{_PREFIXES[-1]}."
        )
    return str(found)


def _memory(value: str) -> int:
    found = parse_size(value, option="memory")
    if found < _LEAST_MEMORY or found % 1024:
        raise InvalidOption(f"memory: '{value}' is not at least 16 MiB in whole KiB; give a size such as 2GiB.")
    return found


def _vcpus(value: int) -> int:
    if not 1 <= value <= _MOST_VCPUS:
        raise InvalidOption(f"vcpus: {value} is no number of CPUs; give 1 to {_MOST_VCPUS}.")
    return value


def _finish(given: dict[str, Any] | None) -> Finish:
    value = given or {}
    when = value.get("when") or (CONSOLE if value.get("console") else POWEROFF)
    console = value.get("console") or ""
    if (when == CONSOLE) != bool(console):
        raise InvalidOption(
            "finish.console: it is the text that ends an installation with 'when: console'; give both, or none of them."
        )
    for option in ("console", "failure", "progress"):
        try:
            re.compile(value.get(option) or "", re.MULTILINE)
        except re.error as error:
            raise InvalidOption(f"finish.{option}: '{value[option]}' is no regular expression: {error}.") from None
    timeout = value.get("timeout") or 7200
    if timeout < 1:
        raise InvalidOption(f"finish.timeout: {timeout} seconds are none; give 1 or more.")
    folder = value.get("screenshot") or ""
    if folder and not os.path.isdir(folder):
        raise InvalidOption(
            f"finish.screenshot: {folder} is no folder of this host; create it first, or give another one."
        )
    reboot = value.get("reboot") or ("ends" if when == POWEROFF else "continues")
    return Finish(
        when, console, value.get("failure") or "", value.get("progress") or "", timeout, reboot == "ends", folder
    )
