# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    ImageOpsError,
    InUse,
    MissingLibrary,
    NotFound,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import Connection
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.domain import Domain
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools

# libvirt's test driver reads a whole host from a file; run state 1 is running, 5 is stopped.
NODE = """
<node>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>web</name><memory>1024</memory><os><type>hvm</type></os><test:runstate>{state}</test:runstate>
    <devices><disk type='file' device='disk'><driver type='qcow2'/><source file='{disk}'/><target dev='vda'/></disk></devices>
  </domain>
  <pool type='dir'><name>images</name><target><path>{pool}</path></target></pool>
</node>
"""


def make(path: Path, *, over: Path | None = None) -> str:
    below = ["-b", str(over), "-F", "qcow2"] if over else []
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", *below, str(path), "1M"], check=True)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pool").mkdir()
    (tmp_path / "other").mkdir()
    make(tmp_path / "base.qcow2")
    make(tmp_path / "disk.qcow2", over=tmp_path / "base.qcow2")
    make(tmp_path / "alone.qcow2")
    return tmp_path


@pytest.fixture
def tools(folder: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Tools]:
    """A host whose domain `web` has the disk disk.qcow2; the parameter is its run state."""
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/",))
    node = folder / "node.xml"
    node.write_text(NODE.format(state=getattr(request, "param", 5), disk=folder / "disk.qcow2", pool=folder / "pool"))
    found = Tools(connect=lambda uri: Connection.open(f"test://{node}"))
    yield found
    found.close()


@pytest.mark.parametrize(
    ("tools", "state", "running"), [(1, "running", True), (5, "stopped", False)], indirect=["tools"]
)
def test_the_disk_of_a_domain(tools: Tools, folder: Path, state: str, running: bool) -> None:
    found = usage.users_of(str(folder / "disk.qcow2"), tools)
    assert found == [usage.User("domain", "web", f"it is a disk of the {state} domain web", running, top=True)]


def test_a_hard_link_is_the_same_disk(tools: Tools, folder: Path) -> None:
    (folder / "link.qcow2").hardlink_to(folder / "disk.qcow2")
    assert [user.top for user in usage.users_of(str(folder / "link.qcow2"), tools)] == [True]


def test_the_backing_file_of_a_domain(tools: Tools, folder: Path) -> None:
    found = usage.users_of(str(folder / "base.qcow2"), tools)
    assert [(user.kind, user.name, user.top) for user in found] == [
        ("domain", "web", False),
        ("overlay", str(folder / "disk.qcow2"), False),
    ]
    assert found[0].sentence == "a disk of the stopped domain web rests on it"


@pytest.mark.parametrize("where", ["", "pool", "other"])
def test_overlays_in_every_known_folder(tools: Tools, folder: Path, where: str) -> None:
    overlay = make(folder / where / ".hidden.qcow2", over=folder / "alone.qcow2")
    found = usage.users_of(str(folder / "alone.qcow2"), tools, search_paths=[str(folder / "other")])
    assert [user.name for user in found] == [overlay]
    assert not usage.users_of(str(folder / "alone.qcow2"), tools, search_paths=[str(folder / "other")], gone=[overlay])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("other", "^search_paths: 'other' is not an absolute path"),
        ("/no/such", "^search_paths: there is no folder /no/such"),
    ],
)
def test_a_folder_that_can_not_be_looked_at_is_an_error(tools: Tools, folder: Path, wrong: str, said: str) -> None:
    with pytest.raises(ImageOpsError, match=said):
        usage.users_of(str(folder / "alone.qcow2"), tools, search_paths=[str(folder / "other"), wrong])


def test_one_sentence_names_all_users(tools: Tools, folder: Path) -> None:
    with pytest.raises(InUse, match=r"was left as it is: .*domain web rests on it; the overlay .*disk.qcow2 reads it"):
        usage.require_unused(str(folder / "base.qcow2"), tools)
    usage.require_unused(str(folder / "alone.qcow2"), tools)


def test_a_running_engine(tools: Tools, folder: Path) -> None:
    argv = ["qemu-io", "-f", "qcow2", str(folder / "alone.qcow2")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as engine:
        assert engine.stdin and engine.stdout
        engine.stdin.write("length\n")
        engine.stdin.flush()
        engine.stdout.read(8)
        found = usage.users_of(str(folder / "alone.qcow2"), tools)
        engine.stdin.close()
    assert [(user.kind, user.running) for user in found] == [("engine", True)]
    assert f"process {engine.pid} (qemu-io)" in found[0].sentence


def test_without_libvirt_only_files_are_looked_at(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", (str(folder / "nothing"),))
    assert [user.kind for user in usage.users_of(str(folder / "base.qcow2"), Tools())] == ["overlay"]


def test_without_the_library_nothing_is_known(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(uri: str) -> Connection:
        raise MissingLibrary("libvirt is missing.")

    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/",))
    with pytest.raises(MissingLibrary, match="can't be known whether a VM uses an image"):
        usage.users_of(str(folder / "alone.qcow2"), Tools(connect=missing))


def test_a_domain_that_goes_away_meanwhile_is_no_user(
    tools: Tools, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Domain, *, inactive: bool = True) -> None:
        raise NotFound("no domain with matching uuid")

    monkeypatch.setattr(Domain, "xml", gone)
    assert not usage.domains_using(str(folder / "disk.qcow2"), tools)


def test_a_loop_of_backing_files_ends(folder: Path) -> None:
    one, two = folder / "1.qcow2", folder / "2.qcow2"
    make(one)
    make(two, over=one)
    subprocess.run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", str(two), "-F", "qcow2", str(one)], check=True)
    assert list(usage.Layers().chain(str(one))) == [str(one), str(two)]


def count_xml(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the domains whose descriptions are read from now on."""
    asked, read = [], Domain.xml

    def counted(self: Domain, *, inactive: bool = True, secure: bool = False) -> object:
        asked.append(self.name)
        return read(self, inactive=inactive, secure=secure)

    monkeypatch.setattr(Domain, "xml", counted)
    return asked


def test_the_domains_are_read_once_for_many_files(tools: Tools, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = count_xml(monkeypatch)
    for _turn in range(20):
        assert usage.users_of(str(folder / "disk.qcow2"), tools)
        assert not usage.users_of(str(folder / "alone.qcow2"), tools)
    assert asked == ["web"]


def test_a_domain_that_came_meanwhile_is_seen_at_once(tools: Tools, folder: Path) -> None:
    alone = str(folder / "alone.qcow2")
    assert not usage.users_of(alone, tools)
    connection = tools.hypervisor("qemu:///system")
    connection.define(
        "<domain type='test'><name>new</name><memory>1024</memory><os><type>hvm</type></os><devices><disk type='file' "
        f"device='disk'><source file='{alone}'/><target dev='vda'/></disk></devices></domain>"
    )
    assert [user.name for user in usage.users_of(alone, tools)] == ["new"]


def test_a_change_of_a_domain_is_seen_a_moment_later(
    tools: Tools, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = count_xml(monkeypatch)
    usage.domains_using(str(folder / "disk.qcow2"), tools)
    now = tools.clock.now()
    monkeypatch.setattr(tools.clock, "now", lambda: now + 2)
    usage.domains_using(str(folder / "disk.qcow2"), tools)
    assert asked == ["web", "web"]


def test_an_overlay_that_was_rewritten_is_read_again(tools: Tools, folder: Path) -> None:
    overlay = folder / "over.qcow2"
    make(overlay, over=folder / "alone.qcow2")
    assert usage.users_of(str(folder / "alone.qcow2"), tools)
    overlay.unlink()
    make(overlay)
    assert not usage.users_of(str(folder / "alone.qcow2"), tools)


@pytest.mark.parametrize(
    ("sockets", "asked"),
    [
        ((), ["qemu:///session"]),
        (("libvirt-sock",), ["qemu:///system", "qemu:///session"]),
        # libvirt's modular daemons, without virtproxyd.
        (("virtqemud-sock",), ["qemu:///system", "qemu:///session"]),
    ],
)
def test_a_user_who_may_ask_the_host_does_so_by_either_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sockets: tuple[str, ...], asked: list[str]
) -> None:
    for name in sockets:
        (tmp_path / name).touch()
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/",))
    monkeypatch.setattr(usage_domains, "SOCKETS", [str(tmp_path / name) for name in ("libvirt-sock", "virtqemud-sock")])
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    found: list[str] = []
    tools = Tools(connect=lambda uri: found.append(uri) or Connection.open("test:///default"))  # type: ignore[func-returns-value]
    usage_domains._connections(tools)
    tools.close()
    assert found == asked
