# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_console_past as past

URI = "qemu:///system"


@dataclass
class Guest:
    """As much of a domain as is asked here."""

    log: Path
    name: str = "web"
    uuid: str = "5b43dd39-89d3-426c-a175-a16ab99563d5"
    active: bool = True

    def xml(self, *, inactive: bool) -> ElementTree.Element:
        text = f"<domain><devices><serial type='pty'><log file='{self.log}'/></serial></devices></domain>"
        return ElementTree.fromstring(text)


@pytest.fixture
def guest(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    found = Guest(tmp_path / "serial.log")
    found.log.write_bytes(b"ready\n")
    monkeypatch.setattr(past, "started", lambda uri, name: 0.0)
    return found


def test_a_revert_brings_back_what_had_been_said(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    past.keep_console(guest, "one", uri=URI)
    monkeypatch.setattr(past, "started", lambda uri, name: 7.0)
    assert past.past_console(guest, uri=URI) == b""
    past.go_on(guest, "one", uri=URI)
    assert past.past_console(guest, uri=URI) == b"ready\n"


def test_a_later_boot_begins_anew(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    past.keep_console(guest, "one", uri=URI)
    past.go_on(guest, "one", uri=URI)
    monkeypatch.setattr(past, "started", lambda uri, name: 8.0)
    assert past.past_console(guest, uri=URI) == b""


def test_a_snapshot_after_a_revert_keeps_both(guest: Guest) -> None:
    past.keep_console(guest, "one", uri=URI)
    past.go_on(guest, "one", uri=URI)
    guest.log.write_bytes(b"working\n")
    past.keep_console(guest, "two", uri=URI)
    past.go_on(guest, "two", uri=URI)
    assert past.past_console(guest, uri=URI) == b"ready\nworking\n"


def test_a_snapshot_of_a_stopped_vm_has_no_past(guest: Guest) -> None:
    guest.active = False
    past.keep_console(guest, "one", uri=URI)
    guest.active = True
    past.go_on(guest, "one", uri=URI)
    assert past.past_console(guest, uri=URI) == b""


def test_a_vm_keeps_its_past_when_the_snapshot_goes_that_it_goes_on_from(guest: Guest) -> None:
    past.keep_console(guest, "one", uri=URI)
    past.go_on(guest, "one", uri=URI)
    guest.log.write_bytes(b"working\n")
    for _time in range(2):
        past.forget_console(guest, "one")
        assert past.past_console(guest, uri=URI) == b"ready\n"
    past.keep_console(guest, "one", uri=URI)
    assert past.past_console(guest, uri=URI) == b"ready\n", "another snapshot of that name"
    past.go_on(guest, "one", uri=URI)
    assert past.past_console(guest, uri=URI) == b"ready\nworking\n"


def test_a_snapshot_that_the_vm_does_not_go_on_from_takes_nothing_along(guest: Guest) -> None:
    for name in ("one", "two"):
        past.keep_console(guest, name, uri=URI)
    past.go_on(guest, "two", uri=URI)
    past.forget_console(guest, "one")
    assert past.past_console(guest, uri=URI) == b"ready\n"


@pytest.mark.parametrize("mark", [b"", b"{", b"[]", b"{}"])
def test_a_note_that_says_nothing(guest: Guest, state_dir: Path, mark: bytes) -> None:
    (state_dir / "console").mkdir(parents=True, exist_ok=True)
    (state_dir / "console" / f"{guest.uuid}.json").write_bytes(mark)
    past.forget_console(guest, "one")
    assert past.past_console(guest, uri=URI) == b""


@pytest.mark.parametrize("snapshot", ["one", ""])
def test_forgetting(guest: Guest, state_dir: Path, snapshot: str) -> None:
    past.keep_console(guest, "one", uri=URI)
    past.forget_console(guest, snapshot)
    assert not list((state_dir / "console").iterdir())
