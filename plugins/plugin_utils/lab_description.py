# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users write of a lab: read, and refused in one sentence where it can't be meant."""

from __future__ import annotations

import datetime
import ipaddress
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption

# They are parts of names of VMs and of networks, of names of DNS and of units of systemd.
_NAME = re.compile(r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")
_MOST_NAME = 20
_FOLDER = re.compile(r"^(/[A-Za-z0-9._+-]+)+\Z")
# A byte of a MAC address counts them.
_MOST = 256
_SPAN = re.compile(r"^([1-9][0-9]{0,4})(m|h|d)\Z")
_SECONDS = {"m": 60, "h": 3600, "d": 86400}
_NETWORK_KEYS = {"name", "mode", "mtu"}
_MACHINE_KEYS = {"name", "image", "image_format", "memory", "vcpus", "networks", "seed", "user_data", "size", "options"}
# What the role itself says of each VM.
_OURS = {"name", "disks", "networks", "cloud_init", "labels", "memory", "vcpus", "xml", "uri"}


@dataclass(frozen=True)
class Description:
    """A lab as it was asked for; `limit` is a span in seconds, or a moment in seconds since the epoch."""

    name: str
    participants: tuple[str, ...]
    networks: tuple[Mapping[str, Any], ...]
    machines: tuple[Mapping[str, Any], ...]
    subnets: tuple[ipaddress.IPv4Network, ...]
    reset_only: tuple[str, ...]
    limit: Mapping[str, Any]


def read_description(told: Mapping[str, Any]) -> Description:
    """The description in the role's variables, without their prefix; raises InvalidOption."""
    name = _named(told.get("name"), "lab_name")
    participants = _participants(told.get("participants"))
    networks = _listed(told.get("networks") or [], "lab_networks", _NETWORK_KEYS)
    machines = _listed(told.get("machines"), "lab_machines", _MACHINE_KEYS)
    _require_folder(told.get("dir"))
    if not machines:
        raise InvalidOption("lab_machines: nothing is given; name at least one machine of each participant.")
    known = {network["name"] for network in networks}
    for network in networks:
        if network.get("mode") not in (None, "isolated", "nat", "routed"):
            raise InvalidOption(
                f"lab_networks: {network['name']} has the mode {network['mode']}, and it is isolated, nat or routed."
            )
    for machine in machines:
        _require_machine(machine, known)
    return Description(
        name,
        participants,
        networks,
        machines,
        _subnets(told.get("subnets"), told.get("prefix"), len(participants) * len(networks)),
        _reset_only(told.get("reset_only") or [], participants),
        read_limit(told.get("time_limit") or ""),
    )


def _named(value: Any, option: str) -> str:
    if not isinstance(value, str) or not _NAME.match(value) or len(value) > _MOST_NAME:
        raise InvalidOption(
            f"{option}: '{value}' can't be part of a machine's name; use up to {_MOST_NAME} lower case letters, digits and '-'."
        )
    return value


def _require_folder(value: Any) -> None:
    """A script and a unit of systemd name it, and it is removed with the lab."""
    if value and (not _FOLDER.match(str(value)) or ".." in str(value).split("/")):
        raise InvalidOption(
            f"lab_dir: '{value}' can't be the lab's folder; give an absolute path of letters, digits, '.', '_', '+' and '-'."
        )


def _participants(value: Any) -> tuple[str, ...]:
    """Names, or p01, p02 and so on for a number."""
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        names: list[Any] = [f"p{number:02}" for number in range(1, min(value, _MOST + 1) + 1)]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        names = list(value)
    else:
        raise InvalidOption("lab_participants: give a number, or a list of names.")
    if not 1 <= len(names) <= _MOST:
        raise InvalidOption(f"lab_participants: a lab has 1 to {_MOST} of them; give another number, or make two labs.")
    found = tuple(_named(name, "lab_participants") for name in names)
    require_once(found, "lab_participants")
    return found


def _listed(value: Any, option: str, keys: set[str]) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, Sequence) or isinstance(value, str) or not all(isinstance(one, Mapping) for one in value):
        raise InvalidOption(f"{option}: give a list of dictionaries, each with a name.")
    for one in value:
        _named(one.get("name"), f"{option}.name")
        unknown = sorted(set(one) - keys)
        if unknown:
            raise InvalidOption(
                f"{option}: {one['name']} has {unknown[0]}, which isn't one of {', '.join(sorted(keys))}."
            )
    require_once([one["name"] for one in value], option)
    if len(value) > _MOST:
        raise InvalidOption(f"{option}: {len(value)} are more than the {_MOST} that a participant can have.")
    return tuple(value)


def require_once(names: Sequence[str], option: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidOption(f"{option}: {twice[0]} is named twice; give each a name of its own.")


def _require_machine(machine: Mapping[str, Any], networks: set[str]) -> None:
    name = machine["name"]
    if not isinstance(machine.get("image"), str) or not machine["image"]:
        raise InvalidOption(
            f"lab_machines: {name} has no image; give the path of a file, or the reference of an image in a catalog."
        )
    for network in machine.get("networks") or []:
        if network not in networks:
            known = ", ".join(sorted(networks)) or "none"
            raise InvalidOption(
                f"lab_machines: {name} is on {network}, which lab_networks doesn't have (there: {known})."
            )
    require_once(list(machine.get("networks") or []), f"lab_machines: networks of {name}")
    wrong = sorted(set(machine.get("options") or {}) & _OURS)
    if wrong:
        raise InvalidOption(
            f"lab_machines: options of {name} have {wrong[0]}, which the role sets itself; leave it out."
        )


def _subnets(told: Any, prefix: Any, needed: int) -> tuple[ipaddress.IPv4Network, ...]:
    """As many subnets as the lab needs, in order."""
    try:
        whole = ipaddress.IPv4Network(str(told))
        length = int(str(prefix))
    except ValueError:
        raise InvalidOption(
            f"lab_subnets: '{told}' with lab_prefix {prefix} is no range of IPv4; give one such as 10.60.0.0/16 and 24."
        ) from None
    if not whole.prefixlen <= length <= 28:
        raise InvalidOption(f"lab_prefix: {length} makes no subnets of {whole}; give {whole.prefixlen} to 28.")
    if 1 << (length - whole.prefixlen) < needed:
        raise InvalidOption(
            f"lab_subnets: {whole} has {1 << (length - whole.prefixlen)} subnets of /{length}, and the lab needs {needed}; give a larger range, or "
            f"a longer lab_prefix."
        )
    size = 1 << (32 - length)
    return tuple(ipaddress.IPv4Network((int(whole[0]) + number * size, length)) for number in range(needed))


def _reset_only(names: Any, participants: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        if name not in participants:
            raise InvalidOption(
                f"lab_reset_only: {name} is no participant of this lab; they are {', '.join(participants)}."
            )
    return tuple(names)


def read_limit(told: Any) -> Mapping[str, Any]:
    """A span such as 4h, or a moment such as 2026-12-01 18:00 in UTC; raises InvalidOption."""
    text = str(told).strip()
    if not text:
        return {}
    span = _SPAN.match(text)
    if span:
        return {"told": text, "seconds": int(span[1]) * _SECONDS[span[2]]}
    try:
        moment = datetime.datetime.fromisoformat(text.removesuffix(" UTC").removesuffix("Z"))
    except ValueError:
        raise InvalidOption(
            f"lab_time_limit: '{text}' is neither a span such as 90m, 4h or 2d nor a moment in UTC such as 2026-12-01 18:00."
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=datetime.timezone.utc)
    return {"told": text, "at": int(moment.timestamp())}
