# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of a task's options can't be said in a domain's XML, or is said twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from .._errors import InvalidOption
from .._sizes import parse_size
from .operation import Tools

# XML 1.0, section 2.2: these are no characters of a document, however they are written.
_NO_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_TEXTS = ("cpu", "machine", "title", "description", "disks", "networks")
_MANY_LINES = ("description",)
_SECTOR = 512


def check_text(params: dict[str, Any]) -> None:
    """Raise InvalidOption for a text that a domain's XML can't hold."""
    for option, text in _texts([(name, params.get(name)) for name in _TEXTS]):
        require_xml_text(text, option=option)
        if option not in _MANY_LINES and ("\n" in text or "\r" in text):
            raise InvalidOption(f"{option}: {text!a} has more than one line; give one line.")


def require_xml_text(text: str, *, option: str) -> None:
    """Raise InvalidOption for a text with a character that no XML holds."""
    found = _NO_XML.search(text)
    if found:
        raise InvalidOption(f"{option}: the character {found[0]!a} can't be in a VM's description; leave it out.")


def _texts(values: Iterable[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Every text in the options `values`, with the name of its option."""
    for option, value in values:
        if isinstance(value, str):
            yield option, value
        elif isinstance(value, list):
            yield from _texts((f"{option}[{number}]", item) for number, item in enumerate(value))
        elif isinstance(value, dict):
            yield from _texts((f"{option}.{name}", item) for name, item in value.items())


def check_unique(params: dict[str, Any]) -> None:
    """Raise InvalidOption for a MAC address, or a place in the boot order, that two devices shall have."""
    networks = params.get("networks") or []
    _require_once((str(network.get("mac") or "").lower().replace("-", ":") for network in networks), "networks", "MAC")
    places = (device.get("boot") for device in (*(params.get("disks") or []), *networks))
    _require_once((str(place or "") for place in places), "boot", "place")


def named_twice(kind: str, params: Mapping[str, Any], tools: Tools) -> bool:
    """Whether another item of the task names the VM too.

    Driver and path of a URI name the hypervisor; the way there (qemu+unix, socket=) doesn't. libvirt tells only what it was given.
    """
    uri = urlsplit(params["uri"])
    return tools.has_twice(f"{kind}:{uri.scheme.partition('+')[0]}:{uri.path}:{params['name']}", params)


def claim_macs(macs: Iterable[str], vm: str, forecast: dict[str, dict[str, Any]]) -> None:
    """Raise InvalidOption when another item of the task has one of the MAC addresses."""
    for mac in macs:
        owner = forecast.setdefault(f"mac:{mac}", {"vm": vm})["vm"]
        if owner != vm:
            raise InvalidOption(f"mac: {mac} is declared for {owner} and for {vm}; give each VM addresses of its own.")


def _require_once(values: Iterable[str], option: str, what: str) -> None:
    told = [value for value in values if value]
    twice = sorted({value for value in told if told.count(value) > 1})
    if twice:
        raise InvalidOption(f"{option}: the {what} {twice[0]} is declared twice; each device needs its own.")


def disk_size(value: Any, *, option: str) -> int | None:
    """The size in whole sectors, as QEMU rounds it up; raises InvalidOption for a disk of nothing."""
    if value is None:
        return None
    size = parse_size(value, option=option)
    if size < 1:
        raise InvalidOption(f"{option}: '{value}' makes no disk; give a size such as 10GiB.")
    return -(-size // _SECTOR) * _SECTOR
