# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's guest agent: whether it answers, freezing and thawing the guest's file systems, addresses, small files.

Each command has a time limit of its own: libvirt's calls for the same wait for the agent as long as it takes. An agent that is
still busy with a command of which we gave up doesn't answer the next one (libvirt synchronises for 5 seconds first).

Whoever owns the guest decides what is answered, so each answer is looked at before it is used.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any, TypeVar

from .._errors import EngineError, ImageOpsError, TimedOut, Unsupported
from .channel import CHANNEL, channel_in
from .domain import Domain
from .ip import usable
from .library import agent_library, calling

_ANSWER_SECONDS = 5
_ATTEMPTS = 3
_MOST_OF_FILE = 64 << 10

_Kind = TypeVar("_Kind")


def has_channel(domain: Domain) -> bool:
    """Whether the VM, as it runs or will start, has the channel."""
    return channel_in(domain.xml(inactive=not domain.active))


def require_channel(domain: Domain) -> None:
    """Raise Unsupported for a VM in which no agent can be reached."""
    if not has_channel(domain):
        raise Unsupported(
            f"The VM {domain.name} has no channel {CHANNEL}, so its guest agent can't be reached; add it (agent: true of "
            f"imageops.fleet.vm), restart the VM, and install qemu-guest-agent in the guest."
        )


def command(domain: Domain, name: str, arguments: dict[str, Any] | None = None, *, timeout: int) -> Any:
    """What the agent returns; raises Unsupported without a channel, TimedOut when it doesn't answer, EngineError when it refuses.

    The answer may have any shape: read it inside of `_reading`.
    """
    text = json.dumps({"execute": name, **({"arguments": arguments} if arguments else {})})
    try:
        with calling(f"asking the guest agent of {domain.name} for {name}"):
            answer = agent_library().qemuAgentCommand(domain.raw, text, max(timeout, 1), 0)
    except TimedOut as error:
        said = str(error).rpartition(": ")[2]
        raise TimedOut(
            f"The guest agent of {domain.name} did not answer {name} ({said}); see that the guest is up, and that qemu-guest-agent "
            f"is installed and runs in it."
        ) from None
    with _reading(domain, name):
        return _as(dict, json.loads(answer)).get("return")


@contextlib.contextmanager
def _reading(domain: Domain, name: str) -> Iterator[None]:
    """Turn an answer that can't be understood into one sentence, without the guest's own words."""
    try:
        yield
    except (ValueError, RecursionError):
        raise EngineError(
            f"The guest agent of {domain.name} answered nonsense to {name}; see what runs in the guest in the place of qemu-guest-agent."
        ) from None


def _as(kind: type[_Kind], told: Any) -> _Kind:
    """What was told, when it is of that kind and no other; raises ValueError."""
    if not isinstance(told, kind) or (isinstance(told, bool) and kind is not bool):
        raise ValueError(f"not a {kind.__name__}")
    return told


def answers(domain: Domain, *, timeout: int = 2) -> bool:
    """Whether the agent answers now."""
    try:
        command(domain, "guest-ping", timeout=timeout)
    except ImageOpsError:
        return False
    return True


def is_frozen(domain: Domain, *, timeout: int = _ANSWER_SECONDS) -> bool:
    """Whether the agent holds the guest's file systems frozen; raises as `command`, after some attempts with a slow guest."""
    for _attempt in range(_ATTEMPTS - 1):
        with contextlib.suppress(TimedOut):
            return _status(domain, timeout) == "frozen"
    return _status(domain, timeout) == "frozen"


def _status(domain: Domain, timeout: int) -> str:
    return _answer(domain, "guest-fsfreeze-status", str, timeout)


def _answer(domain: Domain, name: str, kind: type[_Kind], timeout: int) -> _Kind:
    told = command(domain, name, timeout=timeout)
    with _reading(domain, name):
        return _as(kind, told)


def freeze(domain: Domain, *, timeout: int = _ANSWER_SECONDS) -> int:
    """Freeze the guest's file systems; how many they are.

    After TimedOut the agent may still be at it: the caller thaws then, too.
    """
    require_channel(domain)
    count = _answer(domain, "guest-fsfreeze-freeze", int, timeout)
    if count < 1:
        raise EngineError(f"The guest agent of {domain.name} found no file system to freeze.")
    return count


def thaw(domain: Domain, *, timeout: int = _ANSWER_SECONDS) -> int:
    """Thaw the guest's file systems; how many were frozen. It is no error when none was."""
    return _answer(domain, "guest-fsfreeze-thaw", int, timeout)


def interfaces(domain: Domain, *, timeout: int = _ANSWER_SECONDS) -> dict[str, list[str]]:
    """Addresses by MAC as the guest itself knows them, without those that lead nowhere from outside."""
    name = "guest-network-get-interfaces"
    told = _answer(domain, name, list, timeout)
    found: dict[str, list[str]] = {}
    with _reading(domain, name):
        for interface in told:
            mac, addresses = _interface(_as(dict, interface))
            if addresses:
                found.setdefault(mac, []).extend(addresses)
    return found


def _interface(told: dict[str, Any]) -> tuple[str, list[str]]:
    rows = _as(list, told.get("ip-addresses", []))
    addresses = [usable(_as(str, _as(dict, row).get("ip-address"))) for row in rows]
    return _as(str, told.get("hardware-address", "")).lower(), [each for each in addresses if each]


def read_file(domain: Domain, path: str, *, timeout: int = _ANSWER_SECONDS) -> bytes | None:
    """The first 64 KiB of a file in the guest; None when the agent can't open it."""
    try:
        handle = command(domain, "guest-file-open", {"path": path}, timeout=timeout)
    except EngineError:
        return None
    with _reading(domain, "guest-file-open"):
        handle = _as(int, handle)
    try:
        told = command(domain, "guest-file-read", {"handle": handle, "count": _MOST_OF_FILE}, timeout=timeout)
    finally:
        command(domain, "guest-file-close", {"handle": handle}, timeout=timeout)
    with _reading(domain, "guest-file-read"):
        return base64.b64decode(_as(str, _as(dict, told).get("buf-b64")))[:_MOST_OF_FILE]
