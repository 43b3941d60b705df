# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM can be waited for, each with its own way to look, and its own words for when it doesn't come."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from typing import Any

from .._errors import ImageOpsError
from .._hypervisor import agent
from .._hypervisor.addresses import addresses
from .._hypervisor.console import Console
from .._hypervisor.domain import Domain

_ANSWER_SECONDS = 2
# A server that runs makes a process for each client first, which takes long in a guest that has just come up.
_GREETING_SECONDS = 8
_MOST_OF_GREETING = 2048
# cloud-init writes the file when it has done everything, at each boot; the text is that of its module final-message.
_RESULT = "/run/cloud-init/result.json"
_FINISHED = re.compile(r"^.*Cloud-init v\..* finished at .*$", re.MULTILINE)


class Condition:
    """Something that a VM shall reach; `missing` and `awaited` are for sentences about it."""

    missing = ""
    awaited = ""
    # How often it is looked at: what asks the guest or the network costs more than reading a file.
    every = 1.0

    def look(self, domain: Domain) -> bool:
        """Whether it is there now; what can't be asked yet is not there."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What the result tells of it."""
        return {}


class ConsoleSaid(Condition):
    """The serial console said something."""

    every = 0.0

    def __init__(self, name: str, pattern: re.Pattern[str], console: Console) -> None:
        self.missing = f"The console of {name} did not say '{pattern.pattern}'"
        self.awaited = f"its console said '{pattern.pattern}'"
        self._pattern, self._console, self._matched = pattern, console, ""

    def look(self, domain: Domain) -> bool:
        match = self._console.find(self._pattern)
        if match:
            self._matched = _line(match)
        return bool(match)

    def facts(self) -> dict[str, Any]:
        return {"console_match": self._matched}


class AgentAnswers(Condition):
    """The guest agent answers."""

    awaited = "its guest agent answered"

    def __init__(self, name: str) -> None:
        self.missing = f"The guest agent of {name} did not answer"

    def look(self, domain: Domain) -> bool:
        return agent.answers(domain, timeout=_ANSWER_SECONDS)


class HasAddress(Condition):
    """The VM has an IP address."""

    awaited = "it had an IP address"

    def __init__(self, name: str, by: str) -> None:
        self.missing = f"No IP address of {name} was found (by {by})"
        self._by = by
        self._found: list[str] = []

    def look(self, domain: Domain) -> bool:
        with contextlib.suppress(ImageOpsError):
            self._found = addresses(domain, self._by)
        return bool(self._found)

    def facts(self) -> dict[str, Any]:
        return {"addresses": self._found}


class SshAnswers(Condition):
    """An SSH server greets on a port of one of the VM's addresses."""

    awaited = "its SSH server answered"

    def __init__(self, name: str, port: int, by: str) -> None:
        self._name, self._port, self._by = name, port, by
        self._found: list[str] = []
        self.missing = self._sentence()

    def _sentence(self) -> str:
        where = ", ".join(self._found) or "no IP address found"
        return f"No SSH server answered on port {self._port} of {self._name} ({where})"

    def look(self, domain: Domain) -> bool:
        with contextlib.suppress(ImageOpsError):
            self._found = addresses(domain, self._by)
        self.missing = self._sentence()
        return any(greets(address, self._port) for address in self._found)

    def facts(self) -> dict[str, Any]:
        return {"addresses": self._found}


class CloudInitFinished(Condition):
    """cloud-init has done everything in this start of the VM, as its result file or the console tells."""

    awaited = "cloud-init was finished"

    def __init__(self, name: str, console: Console) -> None:
        self.missing = f"cloud-init of {name} did not finish"
        self._console = console
        self._errors: list[str] | None = None

    def look(self, domain: Domain) -> bool:
        with contextlib.suppress(ImageOpsError, ValueError):
            told = agent.read_file(domain, _RESULT, timeout=_ANSWER_SECONDS)
            if told is not None:
                self._errors = errors_of(told)
                return True
        return self._console.find(_FINISHED) is not None

    def facts(self) -> dict[str, Any]:
        return {} if self._errors is None else {"cloud_init_errors": self._errors}


def errors_of(result: bytes) -> list[str]:
    """The errors in cloud-init's result file; raises ValueError for a file that is none, whatever the guest wrote there."""
    try:
        told = json.loads(result)["v1"]["errors"]
        if isinstance(told, list):
            return [str(error).encode("utf-8", "replace").decode() for error in told]
    except (KeyError, TypeError, RecursionError):
        pass
    raise ValueError("not cloud-init's")


def greets(address: str, port: int) -> bool:
    """Whether a server there begins as SSH does (RFC 4253, section 4.2: other lines may come before)."""
    said = b""
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=_ANSWER_SECONDS) as connection:
        connection.settimeout(_GREETING_SECONDS)
        while len(said) < _MOST_OF_GREETING:
            part = connection.recv(_MOST_OF_GREETING)
            said += part
            if not part or re.search(rb"^SSH-", said, re.MULTILINE):
                break
    return re.search(rb"^SSH-", said, re.MULTILINE) is not None


def _line(match: re.Match[str]) -> str:
    """The whole lines that a match is on."""
    text = match.string
    start = text.rfind("\n", 0, match.start()) + 1
    end = text.find("\n", match.end())
    return text[start : end if end >= 0 else len(text)].strip()
