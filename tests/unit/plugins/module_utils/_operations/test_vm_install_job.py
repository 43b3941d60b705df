# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, EngineError, ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor import install_network
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import Connection
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import Element, get, parse
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains, vm_install_job
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install import (
    domain_name,
    job_of_request,
    plan_install,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_checks import machine_for
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_install_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit.install_params import install_params

PRESEED = {"kind": "preseed", "content": "hunter2"}


class Quiet(Progress):
    """Knows what would be cleaned."""

    def __init__(self) -> None:
        self.left: tuple[str, ...] = ()

    def phase(self, name: str, *, total: int = 0) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def leaves(self, *paths: str) -> None:
        self.left = paths


class Installer:
    """In the place of libvirt's domains: a machine that does `work` with its new disk, and powers off at once."""

    end = "shut down"

    def __init__(self, work: Callable[[str, Element], None]) -> None:
        self.work = work
        self.roots: list[Element] = []

    def open(self, uri: str) -> Any:
        self.connection = Connection.open(uri)
        return self

    def start(self, text: str) -> Any:
        root = parse(text)
        self.roots.append(root)
        self.work(get(root, "devices/disk/source/@file"), root)
        return self

    def end_of(self, _name: str) -> str:
        return self.end

    def reboots(self, _name: str) -> int:
        return 0

    @staticmethod
    def is_orderly(end: str) -> bool:
        return end == "shut down"

    def require_alive(self) -> None:
        pass

    def close(self) -> None:
        self.connection.close()


def write_table(path: str, _root: Element | None = None) -> None:
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x55 0 512", path], check=True, capture_output=True)


def nothing(_path: str, _root: Element) -> None:
    return None


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tools]:
    monkeypatch.setenv("IMAGEOPS_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    found = Tools(version="1")
    yield found
    found.close()


def run(
    params: dict[str, Any],
    tools: Tools,
    monkeypatch: pytest.MonkeyPatch,
    work: Callable[[str, Element], None] = write_table,
) -> Installer:
    """Do the job of the task."""
    installer = Installer(work)
    monkeypatch.setattr(vm_install_job, "Lifecycle", installer.open)
    request = read_request(params)
    log = str(Path(request.path).parent / "log")
    machine = {**machine_for(request, tools.hypervisor(request.uri)), "arch": "x86_64", "log": log}
    job = job_of_request(request, machine, "1")
    lock = os.open(os.devnull, os.O_RDONLY)
    try:
        vm_install_job.install({**job.params, "secrets": job.secrets}, Quiet(), lock)
    finally:
        os.close(lock)
    return installer


def test_the_disk_gets_its_name_and_its_record(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    params = install_params(tmp_path, mode="0600", arguments="console=hvc0 quiet")
    installer = run(params, tools, monkeypatch)
    record = read_record(params["path"])
    assert record is not None and record.operation == "install" and record.virtual_size == 10 << 20
    assert os.stat(params["path"]).st_mode & 0o777 == 0o600
    assert not plan_install(params, tools).changed
    root = installer.roots[0]
    assert get(root, "os/kernel") == params["kernel"] and get(root, "os/cmdline") == "console=hvc0 quiet"
    assert sorted(set(os.listdir(tmp_path)) - {"state"}) == ["disk.qcow2", "initrd", "linux"]


def test_a_preseed_is_in_a_copy_of_the_initrd(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def work(path: str, root: Element) -> None:
        seen.append(Path(get(root, "os/initrd")).read_bytes())
        write_table(path)

    params = install_params(tmp_path, answers=PRESEED)
    installer = run(params, tools, monkeypatch, work)
    assert b"preseed.cfg" in seen[0] and b"hunter2\n" in seen[0]
    assert get(installer.roots[0], "os/cmdline") == "console=ttyS0 auto=true priority=critical"
    record = read_record(params["path"])
    assert record is not None and "hunter2" not in str(record)


@pytest.mark.parametrize(
    ("kind", "where"),
    [("kickstart", "devices/disk[@device='cdrom']/source/@file"), ("ignition", "sysinfo/entry/@file")],
)
def test_other_answers_are_on_media(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch, kind: str, where: str
) -> None:
    def work(path: str, root: Element) -> None:
        medium = Path(get(root, where))
        assert b"hunter2\n" in medium.read_bytes() and medium.stat().st_mode & 0o777 == 0o600
        write_table(path)

    run(install_params(tmp_path, answers={"kind": kind, "content": "hunter2"}), tools, monkeypatch, work)


def test_files_are_served_for_a_network_boot(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(path: str, root: Element) -> None:
        networks = {network.name: network for network in tools.hypervisor("test:///default").networks()}
        assert networks[get(root, "devices/interface/source/@network")].active
        served = Path(partial_path(str(tmp_path / "disk.qcow2"), suffix="-served"))
        assert sorted(one.name for one in served.iterdir()) == ["boot.ipxe", "initrd", "linux"]
        assert served.stat().st_mode & 0o777 == 0o755
        assert {one.stat().st_mode & 0o077 for one in served.iterdir()} <= {0, 0o044}
        assert b"hunter2" in (served / "initrd").read_bytes()
        assert "auto=true" in (served / "boot.ipxe").read_text()
        write_table(path)

    run(install_params(tmp_path, boot="network", answers=PRESEED), tools, monkeypatch, work)
    assert [network.name for network in tools.hypervisor("test:///default").networks()] == ["default"]
    assert sorted(set(os.listdir(tmp_path)) - {"state"}) == ["disk.qcow2", "initrd", "linux"]


def test_nothing_else_is_there_when_the_disk_gets_its_name(
    tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A job that is killed then leaves what no further run would look for: the disk is there."""
    seen: list[set[str]] = []

    def publish(partial: str, path: str, _record: Any) -> None:
        seen.append({str(one) for one in tmp_path.iterdir()} - {str(tmp_path / "state"), partial, path})
        assert [network.name for network in tools.hypervisor("test:///default").networks()] == ["default"]

    def work(path: str, root: Element) -> None:
        (tmp_path / f"{get(root, 'name')}.log").touch()
        write_table(path)

    monkeypatch.setattr(vm_install_job, "publish_with_record", publish)
    params = install_params(tmp_path, boot="network", answers=PRESEED)
    run(params, tools, monkeypatch, work)
    assert seen == [{params["kernel"], params["initrd"]}]


def test_a_network_that_a_killed_run_left(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, params = tools.hypervisor("test:///default"), install_params(tmp_path)
    install_network.serve(connection, domain_name(params["path"]), bridge="ioix", root="/served", file="x")
    Path(partial_path(params["path"], suffix="-kernel")).write_text("left")
    run(params, tools, monkeypatch)
    assert [network.name for network in connection.networks()] == ["default"]
    assert sorted(set(os.listdir(tmp_path)) - {"state"}) == ["disk.qcow2", "initrd", "linux"]


def test_files_go_also_without_libvirt(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(_path: str, _root: Element) -> None:
        monkeypatch.setattr(vm_install_job, "_DAEMON_SECONDS", 0)
        monkeypatch.setattr(Connection, "open", refuse)
        raise EngineError("libvirt's daemon went away meanwhile; run the task again.")

    def refuse(_uri: str) -> Any:
        raise EngineError("no libvirt")

    with pytest.raises(EngineError):
        run(install_params(tmp_path), tools, monkeypatch, leave)
    assert sorted(set(os.listdir(tmp_path)) - {"state"}) == ["initrd", "linux"]


@pytest.mark.parametrize("force", [False, True])
def test_what_failed_leaves_nothing(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch, force: bool) -> None:
    params = install_params(tmp_path, answers=PRESEED, force=force)
    if force:
        (tmp_path / "disk.qcow2").write_text("old")
    monkeypatch.setattr(Installer, "end", "died")
    with pytest.raises(EngineError, match="died before it was finished"):
        run(params, tools, monkeypatch)
    assert sorted(set(os.listdir(tmp_path)) - {"state"}) == [*(["disk.qcow2"] if force else []), "initrd", "linux"]
    assert not force or (tmp_path / "disk.qcow2").read_text() == "old"


def test_a_disk_on_which_nothing_is(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineError, match="wrote no partition table"):
        run(install_params(tmp_path), tools, monkeypatch, nothing)
    assert not (tmp_path / "disk.qcow2").exists()


def test_an_installer_can_name_no_other_files(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    """A raw disk whose guest wrote the header of another format stays raw."""

    def work(path: str, _root: Element) -> None:
        with open(path, "r+b") as stream:
            stream.write(b"QFI\xfb" + bytes(3) + b"\x03" + bytes(500))

    with pytest.raises(ImageOpsError, match="signature of qcow2"):
        run(install_params(tmp_path, format="raw"), tools, monkeypatch, work)


def test_an_old_disk_is_replaced_at_the_end(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "disk.qcow2"
    old.write_text("old")

    def work(path: str, _root: Element) -> None:
        assert old.read_text() == "old"
        write_table(path)

    run(install_params(tmp_path, force=True), tools, monkeypatch, work)
    assert old.read_bytes().startswith(b"QFI")


def test_a_disk_that_somebody_made_meanwhile(tmp_path: Path, tools: Tools, monkeypatch: pytest.MonkeyPatch) -> None:
    def work(path: str, _root: Element) -> None:
        (tmp_path / "disk.qcow2").write_text("another")
        write_table(path)

    with pytest.raises(Conflict, match="was changed by somebody else"):
        run(install_params(tmp_path), tools, monkeypatch, work)
    assert (tmp_path / "disk.qcow2").read_text() == "another"
