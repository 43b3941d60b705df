# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks of a VM's platform: firmware, TPM, huge pages, pinned CPUs, kind of guest, labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .._hypervisor.tuning import cpu_set, cpu_text
from .._sizes import parse_size
from .vm_request_checks import require_xml_text

_YES, _NO = ("true", "yes", "on"), ("false", "no", "off")
_MOST_LABEL = 1024


@dataclass(frozen=True)
class Platform:
    """None is what was left out; `hugepages` is a page size, or True for the host's default size."""

    firmware: str | None = None
    secure_boot: bool | None = None
    tpm: bool | None = None
    hugepages: int | bool | None = None
    cpu_pinning: dict[int, str] | None = None
    labels: dict[str, str] | None = None
    windows: bool = False


def read_platform(params: dict[str, Any]) -> Platform:
    """The platform in a task's options; raises InvalidOption."""
    secure, firmware = params.get("secure_boot"), params.get("firmware")
    if secure and firmware == "bios":
        raise InvalidOption("secure_boot: only UEFI has it; use firmware: uefi, or leave firmware out.")
    return Platform(
        firmware="uefi" if secure else firmware,
        secure_boot=secure,
        tpm=params.get("tpm"),
        hugepages=_hugepages(params.get("hugepages")),
        cpu_pinning=_pinning(params.get("cpu_pinning"), params.get("vcpus")),
        labels=_labels(params.get("labels")),
        windows=params.get("os") == "windows",
    )


def _hugepages(value: Any) -> int | bool | None:
    if value is None or isinstance(value, bool):
        return value
    told = str(value).lower()
    if told in (*_YES, *_NO):
        return told in _YES
    size = parse_size(value, option="hugepages")
    if size < 1 << 10 or size & (size - 1):
        raise InvalidOption(
            f"hugepages: '{value}' is no size of a page; give true, false, or a size such as 2MiB or 1GiB."
        )
    return size


def _pinning(value: Any, vcpus: int | None) -> dict[int, str] | None:
    """By virtual CPU the host's CPUs in one form of many; a list counts from virtual CPU 0."""
    if value is None:
        return None
    if not isinstance(value, (list, dict)):
        raise InvalidOption(
            "cpu_pinning: this is neither a list nor a dictionary; give a list of sets of the host's CPUs, one per virtual CPU."
        )
    pairs: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, dict) else enumerate(value)
    found = {}
    for number, text in pairs:
        option = f"cpu_pinning[{number}]"
        if not str(number).isdecimal():
            raise InvalidOption(f"{option}: this is no number of a virtual CPU; they count from 0.")
        if vcpus is not None and int(number) >= vcpus:
            raise InvalidOption(
                f"{option}: the VM has {vcpus} virtual CPUs, and they count from 0; leave this one out."
            )
        cpus = cpu_set(str(text))
        if cpus is None:
            raise InvalidOption(f"{option}: '{text}' is no set of CPUs; give one such as 2, 0-3 or 0-7,^4.")
        found[int(number)] = cpu_text(cpus)
    return found


def _labels(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    found = {}
    for name, text in value.items():
        if isinstance(text, (dict, list)) or text is None:
            raise InvalidOption(f"labels.{name}: the value is no text; give a text or a number.")
        told = str(text).lower() if isinstance(text, bool) else str(text)
        if not str(name) or max(len(str(name)), len(told)) > _MOST_LABEL:
            raise InvalidOption(
                f"labels: names and values have up to {_MOST_LABEL} characters, and names at least one."
            )
        for part in (str(name), told):
            require_xml_text(part, option="labels")
        found[str(name)] = told
    return found
