# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import base64
import json
from typing import Any

import libvirt
import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, TimedOut, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import agent
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.domain import Domain
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, parse

WITH = f"<domain><devices><channel><target type='virtio' name='{agent.CHANNEL}'/></channel></devices></domain>"


class Guest(Domain):
    """A VM whose agent gives answers by command; an exception is raised, a number is a libvirt error of that code."""

    def __init__(self, text: str = WITH, **answers: Any) -> None:
        self.name, self.raw = "web", self
        self.text, self.answers, self.asked = text, answers, []

    @property
    def active(self) -> bool:
        return True

    def xml(self, *, inactive: bool = True, secure: bool = False) -> Element:
        return parse(self.text)


class Failed(libvirt.libvirtError):  # type: ignore[misc]
    def __init__(self, code: int) -> None:
        super().__init__("failed")
        self.code = code

    def get_error_code(self) -> int:
        return self.code

    def get_error_message(self) -> str:
        return "the agent says no"


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        @staticmethod
        def qemuAgentCommand(guest: Guest, text: str, timeout: int, flags: int) -> str:
            asked = json.loads(text)
            guest.asked.append((asked["execute"], asked.get("arguments"), timeout))
            found = guest.answers[asked["execute"].replace("-", "_")]
            if isinstance(found, Exception):
                raise found
            return json.dumps({"return": found})

    monkeypatch.setattr(agent, "agent_library", lambda: Library)


def test_freezing_and_thawing() -> None:
    guest = Guest(guest_fsfreeze_freeze=2, guest_fsfreeze_thaw=2, guest_fsfreeze_status="frozen")
    assert (agent.freeze(guest, timeout=7), agent.thaw(guest), agent.is_frozen(guest)) == (2, 2, True)
    assert [name for name, _arguments, _timeout in guest.asked] == [
        "guest-fsfreeze-freeze", "guest-fsfreeze-thaw", "guest-fsfreeze-status",
    ]  # fmt: skip
    assert guest.asked[0][2] == 7


def test_a_time_of_nothing_is_a_second() -> None:
    guest = Guest(guest_ping={})
    assert agent.answers(guest, timeout=0)
    assert guest.asked == [("guest-ping", None, 1)]


def test_nothing_to_freeze_is_an_error() -> None:
    with pytest.raises(EngineError, match="no file system to freeze"):
        agent.freeze(Guest(guest_fsfreeze_freeze=0))


def test_without_a_channel() -> None:
    with pytest.raises(Unsupported, match="no channel org.qemu.guest_agent.0"):
        agent.freeze(Guest("<domain/>"))


@pytest.mark.parametrize(("code", "kind"), [(86, TimedOut), (112, TimedOut), (74, Unsupported), (1, EngineError)])
def test_errors(code: int, kind: type[Exception]) -> None:
    guest = Guest(guest_fsfreeze_thaw=Failed(code), guest_ping=Failed(code))
    with pytest.raises(kind, match="web.*the agent says no"):
        agent.thaw(guest)
    assert not agent.answers(guest)


def test_addresses_by_mac() -> None:
    told = [
        {"name": "lo", "hardware-address": "00:00:00:00:00:00", "ip-addresses": [{"ip-address": "127.0.0.1"}]},
        {
            "name": "eth0",
            "hardware-address": "52:54:00:AA:bb:01",
            "ip-addresses": [{"ip-address": "192.0.2.7"}, {"ip-address": "FE80::1"}],
        },
        {"name": "sit0"},
        {"name": "eth1", "hardware-address": "52:54:00:aa:bb:02"},
    ]
    found = agent.interfaces(Guest(guest_network_get_interfaces=told))
    assert found == {"52:54:00:aa:bb:01": ["192.0.2.7"]}


def test_a_file_is_read_and_closed() -> None:
    answer = {"buf-b64": base64.b64encode(b"text").decode()}
    guest = Guest(guest_file_open=5, guest_file_read=answer, guest_file_close={})
    assert agent.read_file(guest, "/etc/hostname") == b"text"
    assert guest.asked[-1][:2] == ("guest-file-close", {"handle": 5})
    assert agent.read_file(Guest(guest_file_open=Failed(1)), "/nix") is None


def test_a_slow_guest_is_asked_again() -> None:
    guest = Guest(guest_fsfreeze_status=Failed(86))
    with pytest.raises(TimedOut):
        agent.is_frozen(guest)
    assert len(guest.asked) == 3


@pytest.mark.parametrize(
    "told",
    [
        "text", 7, None, {}, ["eth0"], [None], [{"hardware-address": 5}], [{"ip-addresses": None}], [{"ip-addresses": "text"}],
        [{"ip-addresses": ["192.0.2.7"]}], [{"ip-addresses": [{}]}], [{"ip-addresses": [{"ip-address": 7}]}],
        [{"ip-addresses": [{"ip-address": ["192.0.2.7"]}]}],
    ],
)  # fmt: skip
def test_addresses_of_another_shape(told: Any) -> None:
    with pytest.raises(EngineError, match="^The guest agent of web answered nonsense to guest-network-get-interfaces;"):
        agent.interfaces(Guest(guest_network_get_interfaces=told))


def test_text_that_is_no_address_is_none() -> None:
    rows = [{"ip-address": each} for each in ("-oProxyCommand=touch /tmp/x", "fe80::1%eth0", "127.0.0.1", "192.0.2.7")]
    told = [{"name": "eth0", "hardware-address": "52:54:00:aa:bb:01", "ip-addresses": rows}]
    assert agent.interfaces(Guest(guest_network_get_interfaces=told)) == {"52:54:00:aa:bb:01": ["192.0.2.7"]}


@pytest.mark.parametrize("told", ["text", "2", None, True, 1.5, float("inf"), [], {"count": 1}])
def test_counts_and_states_of_another_shape(told: Any) -> None:
    guest = Guest(guest_fsfreeze_freeze=told, guest_fsfreeze_thaw=told, guest_fsfreeze_status=[told])
    for ask, name in ((agent.freeze, "freeze"), (agent.thaw, "thaw"), (agent.is_frozen, "status")):
        with pytest.raises(EngineError, match=f"answered nonsense to guest-fsfreeze-{name};"):
            ask(guest)


@pytest.mark.parametrize("handle", ["5", None, [], True])
def test_a_handle_of_another_shape(handle: Any) -> None:
    guest = Guest(guest_file_open=handle)
    with pytest.raises(EngineError, match="answered nonsense to guest-file-open;"):
        agent.read_file(guest, "/etc/hostname")
    assert len(guest.asked) == 1


@pytest.mark.parametrize("told", [None, [], "text", {}, {"buf-b64": 7}, {"buf-b64": "x"}, {"buf-b64": "\u00e4\ud800"}])
def test_content_of_another_shape_is_refused_and_the_file_closed(told: Any) -> None:
    guest = Guest(guest_file_open=5, guest_file_read=told, guest_file_close="whatever")
    with pytest.raises(EngineError, match="answered nonsense to guest-file-read;"):
        agent.read_file(guest, "/etc/hostname")
    assert guest.asked[-1][0] == "guest-file-close"


def test_no_more_is_read_than_was_asked_for() -> None:
    answer = {"buf-b64": base64.b64encode(b"x" * (1 << 20)).decode()}
    assert agent.read_file(Guest(guest_file_open=5, guest_file_read=answer, guest_file_close={}), "/x") == b"x" * 65536


@pytest.mark.parametrize("text", ["", "[]", '"text"', "[" * 100_000, '{"return": ' + "9" * 9999 + "}"])
def test_an_answer_that_is_none(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    class Library:
        @staticmethod
        def qemuAgentCommand(*arguments: Any) -> str:
            return text

    monkeypatch.setattr(agent, "agent_library", lambda: Library)
    with pytest.raises(EngineError, match="answered nonsense to guest-fsfreeze-thaw;"):
        agent.thaw(Guest())
