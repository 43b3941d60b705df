# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    InvalidOption,
    TimedOut,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.channel import CHANNEL
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, parse
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_wait, vm_wait_conditions
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_request import WaitRequest, read_wait

FINISHED = (
    b"[   70.1] cloud-init[9]: Cloud-init v. 22.4.2 finished at Fri, 20 Nov 2026 17:30:03 +0000. Datasource None\n"
)


class Time(Clock):
    """Sleeping costs nothing; `acts` happen at their times."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.acts: list[tuple[float, Callable[[], Any]]] = []

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        while self.acts and self.acts[0][0] <= self.seconds:
            self.acts.pop(0)[1]()


class World:
    """A VM: its agent, its addresses, its console's log."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.log.write_bytes(b"booting\n")
        self.domain = SimpleNamespace(name="web", state="running")
        self.agent = False
        self.addresses: list[str] = []
        self.result: bytes | None = None
        self.ways: list[str] = []
        self.clock = Time()

    def addresses_by(self, domain: Any, by: str) -> list[str]:
        self.ways.append(by)
        if by == "arp":
            raise Unsupported("no neighbours here")
        return self.addresses

    def root(self, *, console: bool = True, channel: bool = True) -> Element:
        log = f"<serial type='pty'><log file='{self.log}'/></serial>" if console else ""
        agent = f"<channel type='unix'><target type='virtio' name='{CHANNEL}'/></channel>" if channel else ""
        return parse(f"<domain><devices>{log}{agent}</devices></domain>")

    def wait(self, root: Element | None = None, **wish: Any) -> dict[str, Any]:
        wanted = read_wait({"running": True, "timeout": 60, **wish}, "running")
        request = SimpleNamespace(name="web", uri="qemu:///system", wait_for=wanted)
        connection: Any = SimpleNamespace(domain=lambda name: self.domain)
        (wait,) = vm_wait.plan_waits(request, self.root() if root is None else root, connection, self.clock)  # type: ignore[arg-type]
        return wait.run()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    found = World(tmp_path)
    monkeypatch.setattr(vm_wait, "past_console", lambda domain, uri: b"")
    monkeypatch.setattr(vm_wait, "started", lambda uri, name: 0.0)
    monkeypatch.setattr(vm_wait_conditions.agent, "answers", lambda domain, timeout: found.agent)
    monkeypatch.setattr(vm_wait_conditions.agent, "read_file", lambda domain, path, timeout: found.result)
    monkeypatch.setattr(vm_wait_conditions, "addresses", found.addresses_by)
    return found


@pytest.fixture
def server() -> Iterator[Callable[[bytes], int]]:
    """Servers that say something to everybody; gives their port."""
    listening: list[socket.socket] = []

    def serve(greeting: bytes) -> int:
        sock = socket.create_server(("127.0.0.1", 0))
        listening.append(sock)

        def talk() -> None:
            while True:
                try:
                    peer, _address = sock.accept()
                except OSError:
                    return
                peer.sendall(greeting)
                peer.close()

        threading.Thread(target=talk, daemon=True).start()
        return int(sock.getsockname()[1])

    yield serve
    for sock in listening:
        sock.close()


def test_the_agent(world: World) -> None:
    world.clock.acts = [(7.5, lambda: setattr(world, "agent", True))]
    assert 7.5 <= world.wait(agent=True)["waited"] < 9


@pytest.mark.parametrize("by", ["any", "agent", "lease"])
def test_an_address(world: World, by: str) -> None:
    world.clock.acts = [(3, lambda: world.addresses.append("192.0.2.7"))]
    found = world.wait(ip=by)
    assert found["addresses"] == ["192.0.2.7"] and set(world.ways) == {by}


def test_a_way_that_can_not_be_asked(world: World) -> None:
    with pytest.raises(TimedOut, match=r"No IP address of web was found \(by arp\) within 60 seconds"):
        world.wait(ip="arp")


@pytest.mark.parametrize("greeting", [b"SSH-2.0-x\r\n", b"hello\r\nSSH-2.0-x\r\n"])
def test_an_ssh_server(world: World, server: Callable[[bytes], int], greeting: bytes) -> None:
    world.addresses = ["127.0.0.1"]
    assert world.wait(ssh=server(greeting), ip="lease")["addresses"] == ["127.0.0.1"]
    assert set(world.ways) == {"lease"}


def test_another_server(world: World, server: Callable[[bytes], int]) -> None:
    port = server(b"220 no-SSH-here\r\n")
    with pytest.raises(TimedOut, match=rf"No SSH server answered on port {port} of web \(no IP address found\)"):
        world.wait(ssh=port, timeout=2)
    world.addresses = ["127.0.0.1"]
    with pytest.raises(TimedOut, match=rf"on port {port} of web \(127.0.0.1\) within 2 seconds"):
        world.wait(ssh=port, timeout=2)


def test_cloud_init_by_the_agent(world: World) -> None:
    world.result = b'{"v1": {"errors": ["bad user-data"], "datasource": "None"}}'
    assert world.wait(cloud_init=True)["cloud_init_errors"] == ["bad user-data"]


def test_errors_that_are_no_text(world: World) -> None:
    world.result = rb'{"v1": {"errors": [7, {"a": null}, "\ud800"]}}'
    assert world.wait(cloud_init=True)["cloud_init_errors"] == ["7", "{'a': None}", "?"]


@pytest.mark.parametrize(
    "result",
    [
        None, b"", b"{", b"{}", b"[]", b"7", b'"v1"', b"\xff", b'{"v1": []}', b'{"v1": null}', b'{"v1": {"errors": null}}',
        b'{"v1": {"errors": "text"}}', b'{"v1": {"errors": ' + b"[" * 60_000, b"9" * 9999,
    ],
)  # fmt: skip
def test_cloud_init_by_the_console(world: World, result: bytes | None) -> None:
    world.result = result
    world.clock.acts = [(5, lambda: world.log.write_bytes(b"booting\n" + FINISHED))]
    found = world.wait(cloud_init=True, console="boot")
    assert "cloud_init_errors" not in found and found["console_match"] == "booting" and found["waited"] >= 5


def test_all_of_them_and_what_is_missing(world: World) -> None:
    world.agent = True
    with pytest.raises(TimedOut) as caught:
        world.wait(agent=True, cloud_init=True, console="login:", timeout=3)
    assert str(caught.value) == (
        "The console of web did not say 'login:'; cloud-init of web did not finish within 3 seconds; its last lines were:\nbooting"
    )
    assert caught.value.details == {"console_tail": ["booting"]}


def test_a_vm_that_ends(world: World) -> None:
    world.clock.acts = [(2, lambda: setattr(world.domain, "state", "stopped"))]
    with pytest.raises(
        Conflict, match="stopped before its guest agent answered and it had an IP address; its last lines"
    ):
        world.wait(agent=True, ip="any")


@pytest.mark.parametrize(
    ("wish", "console", "channel", "because"),
    [
        ({"console": "x"}, False, True, "wait_for.console: .* not logged to a file"),
        ({"agent": True}, True, False, "wait_for.agent: web has no channel"),
        ({"ip": "agent"}, True, False, "wait_for.ip: web has no channel"),
        ({"cloud_init": True}, False, False, "wait_for.cloud_init: web has neither"),
    ],
)
def test_ways_that_are_missing(world: World, wish: dict[str, Any], console: bool, channel: bool, because: str) -> None:
    with pytest.raises(InvalidOption, match=because):
        world.wait(world.root(console=console, channel=channel), **wish)


def test_a_picture_of_what_failed(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_screenshot

    screen = "<domain><devices><video/></devices></domain>"
    world.domain.active, world.domain.xml = True, lambda inactive: parse(screen)
    monkeypatch.setattr(vm_screenshot, "screenshot", lambda *args, **options: b"P6\n1 1\n255\nabc")
    with pytest.raises(TimedOut) as caught:
        world.wait(agent=True, screenshot=str(tmp_path))
    assert caught.value.details["screenshot"] == str(tmp_path / "web.png")
    assert (tmp_path / "web.png").read_bytes().startswith(b"\x89PNG")
    screen = "<domain/>"
    with pytest.raises(TimedOut, match="The guest agent") as caught:
        world.wait(agent=True, screenshot=str(tmp_path))
    assert "no video card" in caught.value.details["screenshot_error"]
    with pytest.raises(InvalidOption, match="missing is no folder"):
        world.wait(agent=True, screenshot=str(tmp_path / "missing"))


def test_the_request() -> None:
    assert read_wait(None, "running") is None
    wish = {"running": False, "timeout": 5, "console": None, "agent": None, "ip": None, "ssh": None, "cloud_init": None}
    assert read_wait(wish, "present") == WaitRequest(running=False, console=None, timeout=5.0)
    assert not WaitRequest(running=False, console=None, timeout=5.0).anything
    found = read_wait(
        {"timeout": 5, "console": "x", "agent": True, "ip": "arp", "ssh": 22, "cloud_init": True}, "running"
    )
    assert found == WaitRequest(False, re.compile("x", re.MULTILINE), 5.0, True, "arp", 22, True)
    for port in (0, 65536):
        with pytest.raises(InvalidOption, match=f"wait_for.ssh: {port} is no port"):
            read_wait({"timeout": 5, "ssh": port}, "running")
