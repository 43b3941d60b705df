# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InUse,
    InvalidOption,
    NoSpace,
    NotFound,
    UnsafeImage,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import Connection
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.domain import Domain
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.snapshots import Snapshot
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import get, parse
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import waiting
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    guest_identity_edit,
    usage_domains,
    vm_clone,
    vm_clone_copy,
    vm_clone_disk,
    vm_clone_disks,
    vm_clone_group,
    vm_clone_point,
    vm_clone_source,
    vm_clone_still,
    vm_files,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_facts import nvram_of
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm_clone_seed import read_seed
from ansible_collections.imageops.fleet.plugins.module_utils._plan import KNOWN_AFTER
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record, write_record

NODE = """
<node>
  <domain type='test' xmlns:test='http://libvirt.org/schemas/domain/test/1.0'>
    <name>web</name><memory>1024</memory><os><type>hvm</type></os><test:runstate>{state}</test:runstate>
    <devices>
      <disk type='file' device='disk'><driver type='{format}'/><source file='{disk}'/><target dev='vda'/></disk>
      <interface type='bridge'><mac address='52:54:00:00:00:01'/><source bridge='br0'/></interface>
      {more}
    </devices>
  </domain>
</node>
"""


def image(path: Path, *, over: Path | None = None, data: str = "", format: str = "qcow2") -> Path:
    below = ["-b", str(over), "-F", "qcow2"] if over else []
    subprocess.run(["qemu-img", "create", "-q", "-f", format, *below, str(path), "4M"], check=True)
    if data:
        subprocess.run(["qemu-io", "-f", format, "-c", data, str(path)], check=True, capture_output=True)
    return path


def apply(plan: Any) -> dict[str, Any]:
    """What the runner does."""
    for step in plan.steps:
        step.run()
    return dict(plan.observe())


class Host:
    """A host with the VM web; its disk is an overlay unless `have` says otherwise."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base = image(folder / "base.qcow2", data="write -P 1 0 1M")
        self.tools = self.have(image(folder / "web.qcow2", over=self.base))

    def have(self, disk: Path, *, state: int = 5, format: str = "qcow2", more: str = "") -> Tools:
        node = self.folder / "node.xml"
        node.write_text(NODE.format(state=state, disk=disk, format=format, more=more))
        self.tools = Tools(connect=lambda uri: Connection.open(f"test://{node}"))
        return self.tools

    def plan(self, name: str = "copy", **options: Any) -> Any:
        """The plan of a task of its own."""
        self.tools.forecast.clear()
        return self.next(name, **options)

    def options(self, **options: Any) -> dict[str, Any]:
        """All options of an item."""
        defaults = {
            "source": "web", "mode": "full", "state": "stopped", "directory": None, "mac": None, "wait_for": None,
            "uri": "test:///default", "snapshot": None, "quiesce": False, "quiesce_timeout": 10, "disks": None,
            "identity": "none", "tpm": "refuse", "serials": "new", "bandwidth": None, "timeout": 0,
            "on_interrupt": "detach", "lease_timeout": 60,
        }  # fmt: skip
        return {**defaults, **options}

    def next(self, name: str, **options: Any) -> Any:
        """The plan of an item after others of its list."""
        return vm_clone.plan_clone(self.options(name=name, **options), self.tools)

    def definition(self, name: str) -> Any:
        domain = self.tools.hypervisor("test:///default").domain(name)
        assert domain
        return domain.xml()

    def content(self, path: str, format: str = "qcow2") -> bytes:
        raw = self.folder / "content"
        subprocess.run(["qemu-img", "convert", "-f", format, "-O", "raw", path, str(raw)], check=True)
        return raw.read_bytes()


@pytest.fixture
def host(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/",))
    vm_clone_disk._inspected.cache_clear()
    found = Host(tmp_path)
    yield found
    found.tools.close()


def test_a_full_clone_is_foretold_made_and_found(host: Host) -> None:
    plan = host.plan()
    path = str(host.folder / "copy-vda.qcow2")
    assert plan.before == {} and plan.after["uuid"] == KNOWN_AFTER and plan.after["macs"] == [KNOWN_AFTER]
    assert plan.after["disks"] == [{"target": "vda", "path": path, "format": "qcow2", "backing": ""}]
    assert [step.title for step in plan.steps] == [
        f"copy {host.folder}/web.qcow2 to {path}",
        "define copy as a full clone of web",
    ]
    found = apply(plan)
    assert {**found, "uuid": KNOWN_AFTER, "macs": [KNOWN_AFTER]} == plan.after
    assert host.content(path) == host.content(str(host.folder / "web.qcow2"))
    again = host.plan()
    assert not again.changed and again.after == found


def test_it_differs_from_its_source(host: Host) -> None:
    found = apply(host.plan(mac=["52:54:00:AA:00:02"]))
    source = host.definition("web")
    assert found["uuid"] != get(source, "uuid") and found["macs"] == ["52:54:00:aa:00:02"]
    assert get(source, "devices/disk/source/@file") == str(host.folder / "web.qcow2")


def test_a_clone_that_is_there_keeps_its_address(host: Host) -> None:
    apply(host.plan(mac=["52:54:00:AA:00:02"]))
    assert host.plan().warnings == host.plan(mac=["52-54-00-aa-00-02"]).warnings == ()
    other = host.plan(mac=["52:54:00:aa:00:03"])
    assert not other.changed
    assert other.warnings[0].startswith("mac: copy is there with 52:54:00:aa:00:02 and keeps that")


def test_a_linked_clone_rests_on_the_sources_base(host: Host) -> None:
    plan = host.plan(mode="linked")
    assert plan.info["shared"] == [] and plan.after["disks"][0]["backing"] == str(host.base)
    found = apply(plan)
    assert found["disks"] == plan.after["disks"]
    record = read_record(found["disks"][0]["path"])
    assert record and record.options["vm"] == "copy" and record.options["backing"] == str(host.base)


def test_what_the_sources_layer_holds_is_copied(host: Host) -> None:
    disk = image(host.folder / "web2.qcow2", over=host.base, data="write -P 2 64k 64k")
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -z 0 64k", str(disk)], check=True, capture_output=True)
    host.have(disk)
    found = apply(host.plan(mode="linked"))
    path = found["disks"][0]["path"]
    assert found["disks"][0]["backing"] == str(host.base)
    assert host.content(path) == host.content(str(disk))
    record = read_record(path)
    assert record and record.operation == "clone" and record.source["path"] == str(disk)


def test_a_disk_on_its_own_becomes_a_base_that_the_source_leaves(host: Host) -> None:
    disk = image(host.folder / "alone.raw", format="raw", data="write -P 3 0 1M")
    host.have(disk, format="raw")
    before = disk.read_bytes()
    plan = host.plan(mode="linked")
    overlay = str(host.folder / "web-vda.1.qcow2")
    assert plan.info["shared"] == [{"target": "vda", "base": str(disk), "overlay": overlay}]
    assert plan.steps[0].title.startswith(f"let web go on in {overlay}")
    apply(plan)
    source = host.definition("web")
    assert get(source, "devices/disk/source/@file") == overlay and get(source, "devices/disk/driver/@type") == "qcow2"
    assert disk.read_bytes() == before and host.content(overlay)[: 1 << 20] == before[: 1 << 20]
    again = host.plan("second", mode="linked")
    assert again.info["shared"] == [] and again.after["disks"][0]["backing"] == str(disk)


def test_many_clones_share_once(host: Host) -> None:
    host.have(image(host.folder / "alone.qcow2", data="write -P 3 0 1M"))
    host.tools.forecast.clear()
    plans = [host.next(name, mode="linked") for name in ("a", "b", "c")]
    assert [plan.provisional for plan in plans] == [False, True, True]
    assert [len(plan.info["shared"]) for plan in plans] == [1, 0, 0]
    apply(plans[0])
    assert apply(host.plan("b", mode="linked"))["disks"] == plans[1].after["disks"]


def test_large_layers_are_shared(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vm_clone_disks, "MOST_COPIED", 1000)
    plan = host.plan(mode="linked")
    assert plan.info["shared"][0]["base"] == str(host.folder / "web.qcow2")


def test_an_overlay_that_a_killed_run_left_is_taken(host: Host) -> None:
    disk = image(host.folder / "alone.qcow2")
    host.have(disk)
    plan = host.plan(mode="linked")
    source = vm_clone_source.read_source(host.options(), host.tools.hypervisor(""), host.tools)
    vm_files.make(
        vm_clone_disks.plan_share(source.disks[0], vm="web", tools=host.tools).overlay(),
        host.tools.commands,
        version=host.tools.version,
    )
    assert host.plan(mode="linked").info == plan.info
    (host.folder / "web-vda.1.qcow2").write_bytes(b"somebody's")
    assert host.plan(mode="linked").info["shared"][0]["overlay"].endswith("/web-vda.2.qcow2")


def test_disks_that_a_killed_run_left(host: Host) -> None:
    plan = host.plan()
    plan.steps[0].run()
    assert [step.title for step in host.plan().steps] == ["define copy as a full clone of web"]
    with (host.folder / "web.qcow2").open("ab") as stream:
        stream.write(b"\0")
    assert len(host.plan().steps) == 2
    with (host.folder / "copy-vda.qcow2").open("ab") as stream:
        stream.write(b"\0")
    with pytest.raises(Conflict, match="copy-vda.qcow2, the place of the disk vda of copy, is taken"):
        host.plan()


def test_a_failed_copy_leaves_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.have(image(host.folder / "web2.qcow2", over=host.base, data="write -P 2 64k 64k"))

    def fail(argv: Any, report: Any, *, pass_fds: Any) -> None:
        raise NoSpace("full")

    monkeypatch.setattr(vm_clone_copy, "run_with_percent", fail)
    with pytest.raises(NoSpace):
        apply(host.plan(mode="linked"))
    assert not list(host.folder.glob("*copy*")) and not list(host.folder.glob(".*copy*"))


def test_a_clone_is_started(host: Host) -> None:
    assert apply(host.plan(state="running"))["state"] == "running"
    assert not host.plan(state="running").changed
    assert not host.plan().changed


def test_a_clone_that_is_there_is_started_when_asked(host: Host) -> None:
    apply(host.plan())
    plan = host.plan(state="running")
    assert [step.title for step in plan.steps] == ["start copy"] and plan.after["state"] == "running"


def test_a_clone_outlives_its_source(host: Host) -> None:
    apply(host.plan())
    domain = host.tools.hypervisor("").domain("web")
    assert domain
    domain.raw.undefine()
    assert not host.plan().changed


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"source": "gone"}, NotFound, "no VM called gone"),
        ({"source": None}, InvalidOption, "give the name of a VM"),
        ({"name": "web"}, InvalidOption, "is the source itself"),
        ({"name": "a/b"}, InvalidOption, "can't name a VM"),
        ({"mac": ["nonsense"]}, InvalidOption, "no unicast MAC"),
        ({"mac": ["52:54:00:00:00:01"]}, Conflict, "an address of the VM web"),
        ({"mac": ["52-54-00-00-00-01"]}, Conflict, "mac: 52:54:00:00:00:01 is an address of the VM web"),
        ({"mac": ["52:54:00:00:00:0a", "52-54-00-00-00-0A"]}, InvalidOption, "mac: 52:54:00:00:00:0a is given twice"),
        ({"mac": ["52:54:00:00:00:02", "52:54:00:00:00:03"]}, InvalidOption, "has 1 network interfaces"),
        ({"directory": "/nowhere"}, NotFound, "the folder /nowhere does not exist"),
        ({"uri": "qemu+ssh://far/system"}, Unsupported, "remote host far"),
        ({"wait_for": {"running": True, "timeout": 1}}, InvalidOption, "says nothing"),
    ],
)
def test_refusals(host: Host, options: dict[str, Any], kind: type[ImageOpsError], says: str) -> None:
    with pytest.raises(kind, match=says):
        host.plan(**{"name": "copy", **options})


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("<tpm model='tpm-tis'><backend type='emulator'/></tpm>", "has a TPM"),
        (
            "<hostdev mode='subsystem' type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>",
            "a device of the host",
        ),
        ("<disk type='block'><source dev='/dev/null'/><target dev='vdb'/></disk>", "vdb of web is of type block"),
        ("<disk type='file'><source file='/dev/null'/><target dev='vdb'/><shareable/></disk>", "vdb of web is shared"),
        (
            "<disk type='file'><source file='/dev/null'/><encryption format='qcow'/><target dev='vdb'/></disk>",
            "vdb of web is encrypted",
        ),
    ],
)
def test_sources_that_can_not_be_cloned(host: Host, more: str, says: str) -> None:
    host.have(host.folder / "web.qcow2", more=more)
    with pytest.raises(Unsupported, match=says):
        host.plan()


def test_a_running_source(host: Host) -> None:
    host.have(host.folder / "web.qcow2", state=1)
    with pytest.raises(Conflict, match="web is running and writes to its disk vda, so nothing can rest on it"):
        host.plan(mode="linked")


@pytest.fixture
def running(host: Host, monkeypatch: pytest.MonkeyPatch) -> Host:
    """The VM runs, as far as the test driver goes."""
    monkeypatch.setattr(vm_clone_source, "require_readable", lambda domain: None)
    monkeypatch.setattr(Domain, "capacity", lambda self, target: 4 << 20)
    host.have(host.folder / "web.qcow2", state=1)
    return host


def test_clones_of_a_running_source_are_one_job(running: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Any] = []
    done = type("State", (), {"id": "clone-1"})()
    monkeypatch.setattr(vm_clone_group, "start", lambda job, *_all, **_more: started.append(job))
    monkeypatch.setattr(vm_clone_group, "finish", lambda job, *_all, **_more: done)
    monkeypatch.setattr(vm_clone_still, "require_freezable", lambda domain: None)
    monkeypatch.setattr(waiting, "job_facts", lambda state: {"id": state.id, "method": "pull"})
    plans = [running.plan("a", bandwidth="2MiB"), running.next("b", bandwidth="1MiB", quiesce=True)]
    for plan in plans:
        plan.steps[0].run()
    assert (
        plans[0].steps[0].title == f"copy {running.folder}/web.qcow2 while it is in use to {running.folder}/a-vda.qcow2"
    )
    assert [plan.info["job"] for plan in plans] == [{"id": "clone-1", "method": "pull"}] * 2
    (job,) = started
    assert [one["name"] for one in job.params["clones"]] == ["a", "b"] and job.target == "a clone of web"
    assert job.params["quiesce_timeout"] == 10 and job.params["bandwidth"] == 1 << 20
    assert job.params["clones"][0]["disks"][0]["pulled"] is True


def test_a_failed_job_fails_all_its_clones_and_runs_once(running: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def fail(job: Any, *_all: Any, **_more: Any) -> None:
        asked.append(job)
        raise NoSpace("full")

    monkeypatch.setattr(vm_clone_group, "start", fail)
    for plan in [running.plan("a"), running.next("b")]:
        with pytest.raises(NoSpace):
            plan.steps[0].run()
    assert len(asked) == 1


def test_disks_of_another_moment_are_made_again(running: Host) -> None:
    second = image(running.folder / "second.qcow2")
    more = f"<disk type='file'><driver type='qcow2'/><source file='{second}'/><target dev='vdb'/></disk>"
    running.have(running.folder / "web.qcow2", state=1, more=more)
    source = vm_clone_source.read_source(running.options(), running.tools.hypervisor(""), running.tools)
    disks = [vm_clone_disks.full_copy(disk, vm="copy", directory=None) for disk in source.disks]
    for disk, point in zip(disks, ("one", "one")):
        vm_clone_copy.new_file(disk.path)
        write_record(disk.path, disk.record("1", point=point))
    assert vm_clone_disks.missing(disks, running.tools) == []
    write_record(disks[1].path, disks[1].record("1", point="two"))
    assert vm_clone_disks.missing(disks, running.tools) == disks


def test_a_disk_is_left_out(host: Host) -> None:
    more = "<disk type='block'><source dev='/dev/null'/><target dev='vdb'/></disk>"
    host.have(host.folder / "web.qcow2", more=more)
    found = apply(host.plan(disks=[{"target": "vdb", "mode": "skip"}]))
    assert [disk["target"] for disk in found["disks"]] == ["vda"]
    assert [get(disk, "target/@dev") for disk in host.definition("copy").findall("devices/disk")] == ["vda"]


def test_one_disk_is_linked_and_one_is_shared(host: Host) -> None:
    shared = image(host.folder / "shared.raw", format="raw")
    more = f"<disk type='file'><source file='{shared}'/><target dev='vdb'/><shareable/></disk>"
    host.have(host.folder / "web.qcow2", more=more)
    found = apply(host.plan(disks=[{"target": "vda", "mode": "link"}, {"target": "vdb", "mode": "share"}]))
    assert found["disks"][0]["backing"] == str(host.base)
    assert get(host.definition("copy").findall("devices/disk")[1], "source/@file") == str(shared)


@pytest.mark.parametrize(
    ("disks", "says"),
    [
        ([{"target": "vdz", "mode": "skip"}], "web has no disk with a medium at vdz; it has: vda"),
        ([{"target": "vda", "mode": "skip"}] * 2, "vda is in the list twice"),
        ([{"target": "vda", "mode": "share"}], "vda can't be shared"),
    ],
)
def test_choices_that_are_none(host: Host, disks: list[dict[str, str]], says: str) -> None:
    with pytest.raises(ImageOpsError, match=f"^disks: {says}"):
        host.plan(disks=disks)


def test_an_internal_snapshot_is_copied(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = image(host.folder / "alone.qcow2", data="write -P 1 0 64k")
    subprocess.run(["qemu-img", "snapshot", "-c", "a,b", str(disk)], check=True)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 2 0 64k", str(disk)], check=True, capture_output=True)
    host.have(disk)
    taken = snapshot("a,b", host.definition("web"), kind="internal", disks=(str(disk),))
    monkeypatch.setattr(vm_clone_point, "snapshots", lambda domain: [taken])
    found = apply(host.plan(snapshot="a,b"))
    assert host.content(found["disks"][0]["path"])[:65536] == b"\1" * 65536
    with pytest.raises(Unsupported, match="is inside of .*alone.qcow2, so nothing can rest on it"):
        host.plan("second", snapshot="a,b", mode="linked")
    with pytest.raises(NotFound, match="web has no snapshot called other; it has: a,b"):
        host.plan("second", snapshot="other")


def test_the_layer_of_an_external_snapshot_is_copied_and_linked(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    then = host.definition("web")
    top = subprocess.run(
        [
            "qemu-img",
            "create",
            "-q",
            "-f",
            "qcow2",
            "-b",
            str(host.folder / "web.qcow2"),
            "-F",
            "qcow2",
            str(host.folder / "top"),
        ],
        check=True,
    )
    assert top.returncode == 0
    host.have(host.folder / "top")
    monkeypatch.setattr(vm_clone_point, "snapshots", lambda domain: [snapshot("then", then)])
    found = apply(host.plan(snapshot="then", mode="linked"))
    assert found["disks"][0]["backing"] == str(host.folder / "web.qcow2")
    full = apply(host.plan("second", snapshot="then"))
    assert host.content(full["disks"][0]["path"]) == host.content(str(host.folder / "web.qcow2"))
    monkeypatch.setattr(vm_clone_point, "snapshots", lambda domain: [snapshot("then", host.definition("web"))])
    with pytest.raises(Conflict, match="at the snapshot then, was written to since"):
        host.plan("third", snapshot="then")


def snapshot(name: str, then: Any, *, kind: str = "external", disks: tuple[str, ...] = ()) -> Snapshot:
    return Snapshot(name, kind, False, "stopped", "", 0, "", True, then, disks)


def test_a_tpm_is_made_anew_when_asked(host: Host) -> None:
    host.have(host.folder / "web.qcow2", more="<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm>")
    assert host.plan(tpm="fresh").changed
    host.have(host.folder / "web.qcow2", more="<tpm model='tpm-tis'><backend type='passthrough'/></tpm>")
    with pytest.raises(Unsupported, match="has a TPM of the host"):
        host.plan(tpm="fresh")


def test_a_seed_is_made_where_the_source_has_none(host: Host) -> None:
    found = apply(host.plan(identity="seed"))
    assert found["seed"] == str(host.folder / "copy-seed.iso")
    files = read_seed(found["seed"])
    assert f"instance-id: {found['uuid']}" in files["meta-data"] and "machine-id" in files["user-data"]


def test_editing_needs_its_program_and_a_host_name(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest_identity_edit, "missing_sysprep", lambda: "virt-sysprep is not installed")
    with pytest.raises(Unsupported, match="virt-sysprep is not installed; install it, or give identity: seed"):
        host.plan(identity="edit")
    monkeypatch.setattr(guest_identity_edit, "missing_sysprep", lambda: "")
    with pytest.raises(InvalidOption, match="a_b can't be a host name"):
        host.plan("a_b", identity="edit")
    assert "edit the guest copy" in host.plan(identity="edit").steps[0].title


def test_a_freeze_needs_time(host: Host) -> None:
    with pytest.raises(InvalidOption, match="^quiesce_timeout: 0 seconds are no limit"):
        host.plan(quiesce=True, quiesce_timeout=0)


def test_a_disk_that_is_not_what_the_definition_says(host: Host) -> None:
    host.have(host.base.with_name("x.raw"), format="qcow2")
    (host.folder / "x.raw").write_bytes(b"\0" * 4096)
    with pytest.raises(UnsafeImage, match="x.raw is not safe to clone"):
        host.plan()


def test_a_disk_that_somebody_writes_to(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    held = type("Held", (), {"writing": True, "sentence": lambda self: "opened"})()
    monkeypatch.setattr(vm_clone_disk, "holders", lambda path: held)
    with pytest.raises(InUse, match="web.qcow2, a disk of the stopped VM web, is opened"):
        host.plan()


def test_a_base_with_snapshots_is_not_left(host: Host) -> None:
    disk = image(host.folder / "alone.qcow2")
    subprocess.run(["qemu-img", "snapshot", "-c", "kept", str(disk)], check=True)
    host.have(disk)
    with pytest.raises(Conflict, match=r"snapshots \(kept\) lie in there; use mode: full"):
        host.plan(mode="linked")


def test_a_vm_that_is_no_clone(host: Host) -> None:
    apply(host.plan("other"))
    with pytest.raises(Conflict, match="web already, and it was not cloned by this collection"):
        host.plan("web", source="other")


def test_another_mode_than_it_was_made_with(host: Host) -> None:
    apply(host.plan())
    with pytest.raises(Conflict, match="^mode: copy is a full clone of web"):
        host.plan(mode="linked")


def test_one_name_twice_in_a_list(host: Host) -> None:
    params = host.options(name="copy")
    vm_clone.plan_clone(params, host.tools)
    assert vm_clone.plan_clone(params, host.tools).changed
    for uri in ("test:///default", "test+unix:///default", "test:///default?socket=/run/x"):
        with pytest.raises(InvalidOption, match="copy is in the list twice"):
            vm_clone.plan_clone({**params, "uri": uri}, host.tools)
    assert host.next("copy", uri="test:///other").changed


def test_a_clone_that_is_there_twice_in_a_list(host: Host) -> None:
    apply(host.plan("copy"))
    assert not host.plan("copy").changed
    with pytest.raises(InvalidOption, match="copy is in the list twice"):
        host.next("copy", state="running")


def test_copies_of_a_list_need_room_together(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(vm_clone_disks, "require_space", lambda path, needed, *, what: asked.append(needed))
    host.plan("a")
    host.next("b")
    assert asked[1] == 2 * asked[0] > 1 << 20


@pytest.mark.parametrize(
    ("os", "path"),
    [
        ("<os><type>hvm</type></os>", ""),
        ("<os firmware='efi'><nvram>/n/web.fd</nvram></os>", "/n/web.fd"),
        ("<os><nvram type='file'><source file='/n/web.qcow2'/></nvram></os>", "/n/web.qcow2"),
        ("<os firmware='efi'/>", "/var/lib/libvirt/qemu/nvram/web_VARS.fd"),
        ("<os><loader type='pflash'>/c.fd</loader></os>", "/var/lib/libvirt/qemu/nvram/web_VARS.fd"),
    ],
)
def test_where_uefi_keeps_its_variables(os: str, path: str) -> None:
    assert nvram_of(parse(f"<domain><name>web</name>{os}</domain>"), "qemu:///system") == path


def test_a_source_that_the_same_list_starts(host: Host) -> None:
    apply(host.plan("c5"))
    host.plan("c5", state="running")
    for mode in ("linked", "full"):
        with pytest.raises(InvalidOption, match="c5 is started and cloned by the same task.*before or behind"):
            host.next(f"c6-{mode}", source="c5", mode=mode)
    host.plan("c6", source="c5")
    with pytest.raises(InvalidOption, match="c5 is started and cloned by the same task"):
        host.next("c5", state="running")
    host.plan("c6", source="c5")
    assert not host.next("c5").changed


def test_a_source_that_is_started_before_it_becomes_a_base(host: Host) -> None:
    disk = image(host.folder / "alone.qcow2")
    host.have(disk)
    plan = host.plan(mode="linked", state="running")
    web = host.tools.hypervisor("test:///default").domain("web")
    assert web
    web.start()
    with pytest.raises(Conflict, match="web was started meanwhile and writes to .*alone.qcow2"):
        apply(plan)
    assert get(host.definition("web"), "devices/disk/source/@file") == str(disk)
    assert not list(host.folder.glob("*web-vda*"))


@pytest.mark.parametrize("mode", ["full", "linked"])
def test_a_source_that_was_written_to_since_it_was_planned(host: Host, mode: str) -> None:
    plan = host.plan(mode=mode)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write 1M 64k", str(host.folder / "web.qcow2")], check=True)
    with pytest.raises(Conflict, match="web.qcow2 was written to meanwhile; run the task again"):
        apply(plan)
    assert not list(host.folder.glob("*copy-vda*"))
