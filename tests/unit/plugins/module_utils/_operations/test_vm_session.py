# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import parse
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_facts import nvram_of
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_host import console_log
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_session import (
    CACHE,
    CONFIG,
    RUNTIME,
    is_session,
    session_folder,
)

UEFI = parse("<domain><name>web</name><os firmware='efi'/></domain>")
SYSTEM = "/var/lib/libvirt/qemu/nvram/web_VARS.fd"


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name in (CONFIG, CACHE, RUNTIME):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("uri", "session"),
    [
        ("qemu:///session", True),
        ("qemu:///session?mode=direct", True),
        ("qemu+unix:///session?socket=/run/user/7/libvirt/virtqemud-sock", True),
        ("qemu:///system", False),
        ("qemu+unix:///system?socket=/session", False),
        ("test:///default", False),
    ],
)
def test_whose_libvirt_it_is(uri: str, session: bool) -> None:
    assert is_session(uri) is session
    path = nvram_of(UEFI, uri)
    assert path == ("/home/me/.config/libvirt/qemu/nvram/web_VARS.fd" if session else SYSTEM)


@pytest.mark.parametrize(
    ("kind", "variables", "folder"),
    [
        (CONFIG, {}, "/home/me/.config"),
        (CONFIG, {CONFIG: "/c"}, "/c"),
        (CONFIG, {CONFIG: ""}, "/home/me/.config"),
        (CACHE, {CACHE: "/k"}, "/k"),
        (RUNTIME, {RUNTIME: "/run/user/7"}, "/run/user/7"),
        (RUNTIME, {CACHE: "/k"}, "/k"),
        (RUNTIME, {}, "/home/me/.cache"),
    ],
)
def test_by_the_variables_that_libvirt_reads(
    monkeypatch: pytest.MonkeyPatch, kind: str, variables: dict[str, str], folder: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert session_folder(kind, "x") == f"{folder}/libvirt/qemu/x"


def test_files_of_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONFIG, "/c")
    assert nvram_of(UEFI, "qemu:///session") == "/c/libvirt/qemu/nvram/web_VARS.fd"
    assert console_log("qemu:///session", "web") == "/home/me/.cache/libvirt/qemu/log/web-serial.log"
    assert console_log("qemu:///system", "web") == "/var/log/libvirt/qemu/web-serial.log"
