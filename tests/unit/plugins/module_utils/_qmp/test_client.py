# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    EngineError,
    InUse,
    MissingLibrary,
    NoSpace,
    TimedOut,
)
from ansible_collections.imageops.fleet.plugins.module_utils._qmp import client
from ansible_collections.imageops.fleet.tests.unit.qmp_pretender import LIBRARY, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "s", {})


@pytest.fixture
def session(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Iterator[client.Qmp]:
    monkeypatch.setattr(client, "library", lambda: LIBRARY)
    connected = socket.socket(socket.AF_UNIX)
    connected.connect(machine.path)
    found = client.Qmp(connected, "QEMU", timeout=120)
    yield found
    found.close()


def test_a_library_that_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "qemu", None)
    client.library.cache_clear()
    with pytest.raises(MissingLibrary, match=r"qemu\.qmp .*imageops\.fleet\.hypervisor"):
        client.library()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("No space left on device", NoSpace),
        ('Failed to get "write" lock', InUse),
        ("Block node is read-only.", EngineError),
    ],
)
def test_refusals_are_our_errors(machine: Machine, session: client.Qmp, said: str, kind: type[Exception]) -> None:
    machine.fail["stop"] = said
    assert session.execute("query-status") == {"status": "running"}
    with pytest.raises(kind, match="^QEMU failed at stop: .*[^.][.]$"):
        session.execute("stop")


def test_the_end_is_told(session: client.Qmp) -> None:
    session.execute("quit")
    with pytest.raises(EngineError, match="^QEMU ended in the middle of the work"):
        session.execute("query-status")


def test_an_answer_is_waited_for_as_long_as_said(
    machine: Machine, session: client.Qmp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "do_stop", lambda: __import__("time").sleep(1))
    with pytest.raises(TimedOut, match="^QEMU did not answer stop within 0.1 seconds"):
        session.execute("stop", timeout=0.1)
