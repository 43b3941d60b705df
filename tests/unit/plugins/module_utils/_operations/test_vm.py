# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils import _files
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InUse,
    InvalidOption,
    NotFound,
    TimedOut,
    UnsafeImage,
)
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.connection import Connection
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.domain import Domain
from ansible_collections.imageops.fleet.plugins.module_utils._hypervisor.xml import get, parse, put, serialise
from ansible_collections.imageops.fleet.plugins.module_utils._operations import base_files, usage_domains, vm_wait
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.vm import OPERATION, locks, plan_vm, survey
from ansible_collections.imageops.fleet.plugins.module_utils._plan import KNOWN_AFTER, Plan
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record

MIB = 1 << 20
DEFAULTS: dict[str, Any] = {
    "name": "web", "state": "present", "uri": "test:///default", "shutdown_timeout": 0, "force_stop": True,
    "remove_disks": False, "memory": "64MiB",
}  # fmt: skip


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Tools]:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ("/no/such/sign",))
    monkeypatch.setenv(_files.STATE_VARIABLE, str(tmp_path / "state"))
    found = Tools(version="1")
    # libvirt's test driver tells one size for all disks.
    monkeypatch.setattr(Domain, "capacity", size_of)
    yield found
    for domain in found.hypervisor("test:///default").domains():
        if domain.name != "test":
            stop_and_forget(domain)
    found.close()


def size_of(domain: Domain, target: str) -> int:
    path = next(disk.path for disk in domain.disks() if disk.target == target)
    facts = Tools().commands.json(["qemu-img", "info", "--output=json", path])
    return int(facts["virtual-size"])


def stop_and_forget(domain: Domain) -> None:
    if domain.active:
        domain.destroy()
    domain.undefine()


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "base.raw"
    path.write_bytes(b"\xeb\x3c" + bytes(MIB - 2))
    return path


def plan(tools: Tools, **given: Any) -> Plan:
    tools.forecast.clear()
    return plan_vm({**DEFAULTS, **given}, tools)


def carry_out(planned: Plan) -> dict[str, Any]:
    """What the runner does with a plan."""
    for step in planned.steps:
        step.run()
    found: dict[str, Any] = {}
    for wait in planned.waits:
        found.update(wait.run())
    return {**planned.observe(), **found}


def made(tools: Tools, image: Path, **given: Any) -> dict[str, Any]:
    """A VM with a disk from the image."""
    return {"disks": [{"image": str(image), "image_format": "raw", "path": str(image.parent / "web.qcow2"), **given}]}


def titles(planned: Plan) -> list[str]:
    return [step.title.split(" /")[0] for step in planned.steps]


def test_a_vm_is_made_once(tools: Tools, image: Path) -> None:
    given = {
        **made(tools, image, size="2MiB"),
        "state": "running",
        "autostart": True,
        "networks": [{"network": "default"}],
    }
    planned = plan(tools, **given)
    assert titles(planned) == ["make the disk", "define web", "start with the host: web", "start web"]
    assert planned.before == {"state": "absent"}
    assert planned.after["memory"] == "64 MiB"
    assert planned.after["networks"][0]["mac"] == KNOWN_AFTER
    assert planned.info["uuid"] == KNOWN_AFTER
    assert planned.foretell is not None
    foretold = {**planned.info, **planned.foretell()}
    found = carry_out(planned)
    open_yet = {name for name in found if found[name] != foretold[name]}
    assert open_yet <= {"uuid", "networks", "machine", "cpu"}
    assert all(foretold[name] == KNOWN_AFTER for name in open_yet - {"networks"})
    assert foretold["networks"] == [{**found["networks"][0], "mac": KNOWN_AFTER}]
    assert (found["state"], found["memory"], found["autostart"]) == ("running", 64 * MIB, True)
    assert found["acceleration"]["type"] == "test"
    again = plan(tools, **given)
    assert (again.steps, again.warnings) == ((), ())
    assert carry_out(again)["networks"] == found["networks"]


def test_an_unchanged_vm_is_asked_for_its_two_descriptions_only(
    tools: Tools, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {**DEFAULTS, **made(tools, image), "state": "running"}
    found = carry_out(plan(tools, **given))
    fresh, asked = Tools(version="1"), []
    domain = type(fresh.hypervisor("test:///default").raw.lookupByName("web"))
    other = {**DEFAULTS, "name": "other"}

    def watched(name: str, act: Callable[..., Any]) -> Callable[..., Any]:
        return lambda *args: asked.append(name) or act(*args)

    for name in ("XMLDesc", "state", "isActive", "autostart", "info"):
        monkeypatch.setattr(domain, name, watched(name, getattr(domain, name)))
    survey([given, other], fresh)
    again = plan_vm(given, fresh)
    assert not again.steps and carry_out(again) == found
    assert asked == ["XMLDesc", "XMLDesc"]
    fresh.close()


@pytest.mark.parametrize("uri", ["test+ssh://elsewhere/default", "test:///nowhere", "none"])
def test_what_can_not_be_looked_at_is_refused_by_its_plan(tools: Tools, uri: str) -> None:
    items = [{**DEFAULTS, "name": name, "uri": uri} for name in ("web", "other")]
    survey(items, tools)
    for item in items:
        with pytest.raises(ImageOpsError):
            plan_vm(item, tools)


def test_a_disk_has_a_record_and_is_never_made_again(tools: Tools, image: Path) -> None:
    path = image.parent / "web.qcow2"
    carry_out(plan(tools, **made(tools, image)))
    record = read_record(str(path))
    assert record is not None
    assert (record.operation, record.source["path"], record.options["vm"]) == ("overlay", str(image), "web")
    assert path.stat().st_mode & 0o777 == 0o600
    image.write_bytes(image.read_bytes() + bytes(512))
    with path.open("ab") as stream:
        stream.write(b"the guest wrote")
    planned = plan(tools, **made(tools, image))
    assert not planned.steps
    assert "was changed after the disk vda of web was made from it" in planned.warnings[0]


def test_a_full_copy_stands_alone(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, **made(tools, image, copy="full", size="2MiB")))
    facts = tools.commands.json(["qemu-img", "info", "--output=json", "-f", "qcow2", str(image.parent / "web.qcow2")])
    assert facts["virtual-size"] == 2 * MIB
    assert "backing-filename" not in facts


def test_only_what_is_declared_changes(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, **made(tools, image), networks=[{"network": "default"}]))
    connection = tools.hypervisor("test:///default")
    domain = connection.domain("web")
    assert domain is not None
    root = domain.xml()
    put(root, "title", "by hand")
    connection.define(serialise(root))
    planned = plan(tools, memory="96MiB", vcpus=3)
    assert planned.before == {"state": "stopped", "memory": "64 MiB", "vcpus": 1}
    assert planned.after == {"state": "stopped", "memory": "96 MiB", "vcpus": 3}
    found = carry_out(planned)
    assert (found["uuid"], found["title"]) == (domain.uuid, "by hand")
    assert get(domain.xml(), "devices/interface/mac/@address") == get(root, "devices/interface/mac/@address")


def test_a_running_vm_is_not_restarted(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, **made(tools, image), state="running"))
    planned = plan(tools, state="running", memory="96MiB")
    assert titles(planned) == ["change the definition of web"]
    assert "runs with its old memory" in planned.warnings[0]
    assert carry_out(planned)["restart_required"]
    assert not carry_out(plan(tools, state="restarted", memory="96MiB"))["restart_required"]


@pytest.mark.parametrize(
    ("now", "asked", "steps"),
    [
        ("stopped", "running", ["start web"]),
        ("stopped", "stopped", []),
        ("stopped", "restarted", ["start web"]),
        ("running", "running", []),
        ("running", "paused", ["pause web"]),
        ("running", "stopped", ["stop web"]),
        ("running", "restarted", ["stop web", "start web"]),
        ("running", "present", []),
        ("paused", "running", ["resume web"]),
        ("paused", "stopped", ["stop web"]),
    ],
)
def test_states(tools: Tools, image: Path, now: str, asked: str, steps: list[str]) -> None:
    carry_out(plan(tools, **made(tools, image), state="running"))
    carry_out(plan(tools, state=now))
    planned = plan(tools, state=asked)
    assert titles(planned) == steps
    expected = {"present": now, "restarted": "running"}.get(asked, asked)
    assert planned.after["state"] == expected
    assert carry_out(planned)["state"] == expected


def test_a_lower_layer_of_the_chain_is_attached(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, **made(tools, image)))
    over = image.parent / "over.qcow2"
    below = str(image.parent / "web.qcow2")
    tools.commands.output(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", below, str(over)])
    connection = tools.hypervisor("test:///default")
    domain = connection.domain("web")
    assert domain is not None
    root = domain.xml()
    put(root, "devices/disk/source/@file", str(over))
    connection.define(serialise(root))
    planned = plan(tools, **made(tools, image))
    assert not planned.steps
    assert carry_out(planned)["disks"][0]["active_path"] == str(over)
    assert carry_out(planned)["disks"][0]["path"] == below


@pytest.mark.parametrize("left", ["disk", "definition"])
def test_an_interrupted_run_is_finished(tools: Tools, image: Path, left: str) -> None:
    """Killed after the disk was there, or after the definition."""
    given = {**made(tools, image), "state": "running"}
    planned = plan(tools, **given)
    for step in planned.steps[: 1 if left == "disk" else 2]:
        step.run()
    again = plan(tools, **given)
    assert titles(again) == titles(planned)[1 if left == "disk" else 2 :]
    assert carry_out(again)["state"] == "running"


def test_an_unused_disk_of_older_content_is_made_again(tools: Tools, image: Path) -> None:
    plan(tools, **made(tools, image)).steps[0].run()
    image.write_bytes(image.read_bytes() + bytes(MIB))
    planned = plan(tools, **made(tools, image))
    assert titles(planned) == ["make the disk", "define web"]
    with (image.parent / "web.qcow2").open("ab") as stream:
        stream.write(b"somebody wrote")
    with pytest.raises(Conflict, match="written to since"):
        plan(tools, **made(tools, image))


def test_removal_takes_what_was_made(tools: Tools, image: Path) -> None:
    path = image.parent / "web.qcow2"
    given = {**made(tools, image), "search_paths": [str(image.parent)]}
    carry_out(plan(tools, **given, state="running"))
    kept = plan(tools, **given, state="absent")
    assert titles(kept) == ["stop web", "remove web"]
    assert (kept.info["kept"], kept.info["removed"]) == ([str(path)], [])
    planned = plan(tools, **given, state="absent", remove_disks=True)
    assert planned.before == {"state": "running", "disks": [str(path)]}
    assert carry_out(planned) == {"name": "web", "uri": "test:///default", "state": "absent"}
    assert not path.exists() and image.exists()
    assert not plan(tools, **given, state="absent", remove_disks=True).steps


def test_a_disk_that_another_task_copies_is_not_removed(
    tools: Tools, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_files, "_KEEP_SECONDS", 0.0)
    carry_out(plan(tools, **made(tools, image)))
    tools.bases.close()
    other, path = Tools(version="1"), str(image.parent / "web.qcow2")
    copied = {"name": "db", "disks": [{"image": path, "copy": "full", "path": str(image.parent / "db.qcow2")}]}
    plan(other, **copied)
    with pytest.raises(InUse, match="web.qcow2 is in use: disks are being made from it by another task"):
        plan(tools, state="absent", remove_disks=True)
    assert plan(tools, state="absent").changed
    other.bases.close()
    planned = plan(tools, state="absent", remove_disks=True)
    with pytest.raises(InUse, match="web.qcow2 is in use: it is being replaced by another task, or changed"):
        plan(other, **copied)
    assert carry_out(planned)["state"] == "absent" and not Path(path).exists()
    other.close()


def test_removal_leaves_what_was_not_made_here(tools: Tools, image: Path) -> None:
    given = {"disks": [{"path": str(image), "format": "raw"}]}
    carry_out(plan(tools, **given))
    planned = plan(tools, **given, state="absent", remove_disks=True)
    assert planned.info["removed"] == []
    carry_out(planned)
    assert image.exists()


def test_refusals(tools: Tools, image: Path) -> None:
    hostile = image.parent / "hostile.qcow2"
    tools.commands.output(
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-F", "raw", "-b", "/etc/passwd", str(hostile), "1M"]
    )
    stranger = image.parent / "web.qcow2"
    stranger.write_bytes(bytes(512))
    table: list[tuple[dict[str, Any], type[ImageOpsError], str]] = [
        ({}, InvalidOption, "nothing tells how to make it"),
        ({"disks": [{"path": "/no/such.qcow2"}]}, NotFound, "disks[0].path"),
        ({"disks": [{"image": "/no/such.qcow2", "path": str(image.parent / "x.qcow2")}]}, NotFound, "disks[0].image"),
        ({"disks": [{"path": str(hostile)}]}, UnsafeImage, "not safe"),
        ({"disks": [{"image": str(hostile), "path": str(image.parent / "x.qcow2")}]}, UnsafeImage, "not safe"),
        (made(tools, image), Conflict, "no record"),
        ({"disks": [{"size": "1MiB", "path": "/no/such/folder/x"}]}, NotFound, "/no/such/folder"),
        ({"disks": [], "networks": [{"network": "nowhere"}]}, NotFound, "no network called nowhere"),
        ({"disks": [{"path": str(image)}, {"path": str(image)}]}, InvalidOption, "declared twice"),
    ]
    for given, kind, says in table:
        with pytest.raises(kind, match=re.escape(says)):
            plan(tools, **given)
    assert tools.hypervisor("test:///default").domain("web") is None


def test_the_disk_of_another_vm_is_refused(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, **made(tools, image)))
    path = str(image.parent / "web.qcow2")
    later = Tools(version="1")
    with pytest.raises(InUse, match="is the disk of the VM web"):
        plan(later, name="db", disks=[{"path": path}])
    with pytest.raises(InUse, match="overlay breaks"):
        plan(later, name="db", disks=[{"image": path, "path": str(image.parent / "db.qcow2")}])
    later.close()


def test_what_others_rest_on_is_no_disk_to_write_to(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, **made(tools, image)))
    hard = image.parent / "other-name.raw"
    hard.hardlink_to(image)
    for path in (image, hard):
        with pytest.raises(InUse, match="can't be a disk that db writes to: the overlay .*web.qcow2 reads it"):
            plan(tools, name="db", disks=[{"path": str(path), "format": "raw"}])
        xml = f"""<domain type='test'><memory>1024</memory><os><type>hvm</type></os><devices><disk type='file'>
        <driver type='raw'/><source file='{path}'/><target dev='vda' bus='virtio'/></disk></devices></domain>"""
        with pytest.raises(InUse, match="xml: .*can't be a disk"):
            plan(tools, name="db", memory=None, xml=xml)
        assert plan(tools, name="db", disks=[{"path": str(path), "format": "raw", "readonly": True}]).changed
    carry_out(plan(tools, name="db", disks=[{"path": str(image), "format": "raw", "readonly": True}]))
    with pytest.raises(InUse, match="can't be a disk that db writes to"):
        plan(tools, name="db", disks=[{"path": str(image), "format": "raw", "readonly": False}])


def test_an_image_is_no_disk_of_another_item(tools: Tools, image: Path) -> None:
    given = {**DEFAULTS, **made(tools, image)}
    plan_vm(given, tools)
    with pytest.raises(InUse, match="declared for web as its image and for db"):
        plan_vm({**DEFAULTS, "name": "db", "disks": [{"path": str(image), "format": "raw"}]}, tools)


def test_an_image_that_is_copied_is_no_disk_of_another_item(tools: Tools, image: Path) -> None:
    golden = {**DEFAULTS, "name": "golden", "disks": [{"path": str(image), "format": "raw"}], "state": "running"}
    copied = {**DEFAULTS, **made(tools, image, copy="full")}
    for first, second in ((golden, copied), (copied, golden)):
        tools.forecast.clear()
        plan_vm(first, tools)
        told = (
            f"{image} is declared for {first['name']} and for {second['name']}, one of which copies it; make two tasks"
        )
        with pytest.raises(InUse, match=told):
            plan_vm(second, tools)
    tools.forecast.clear()
    plan_vm(copied, tools)
    plan_vm({**copied, "name": "db", "disks": [{**copied["disks"][0], "path": str(image.parent / "db.qcow2")}]}, tools)
    carry_out(plan(tools, **{**copied, "uri": "test:///default"}))
    tools.forecast.clear()
    plan_vm(golden, tools)
    assert not plan_vm(copied, tools).changed


def with_xml(name: str, path: Path, *, more: str = "", whole: bool = True) -> dict[str, Any]:
    disk = f"<disk type='file'><driver type='raw'/><source file='{path}'/><target dev='vda' bus='virtio'/>{more}</disk>"
    body = f"<domain type='test'><memory>1024</memory><os><type>hvm</type></os><devices>{disk}</devices></domain>"
    part = f"<domain><devices>{disk}</devices></domain>"
    return {**DEFAULTS, "name": name, **({"memory": None, "xml": body} if whole else {"disks": [], "xml": part})}


@pytest.mark.parametrize("whole", [True, False])
def test_a_disk_in_the_xml_is_no_disk_of_another_item(tools: Tools, image: Path, whole: bool) -> None:
    by_xml = with_xml("web", image, whole=whole)
    plain = {**DEFAULTS, "name": "db", "disks": [{"path": str(image), "format": "raw"}]}
    for second in (with_xml("db", image, whole=whole), with_xml("db", image, more="<readonly/>"), plain):
        for pair in ((by_xml, second), (second, by_xml)):
            tools.forecast.clear()
            plan_vm(pair[0], tools)
            with pytest.raises(InUse, match=f"{image} is declared for {pair[0]['name']} and for {pair[1]['name']}"):
                plan_vm(pair[1], tools)
    for more in ("<readonly/>", "<shareable/>"):
        tools.forecast.clear()
        plan_vm(with_xml("web", image, more=more, whole=whole), tools)
        assert plan_vm(with_xml("db", image, more=more, whole=whole), tools).changed


def test_disks_in_the_xml_are_locked(image: Path) -> None:
    assert list(locks(with_xml("web", image), Tools())) == ["domain:web", str(image)]
    assert list(locks(with_xml("web", image, more="<readonly/>"), Tools())) == ["domain:web"]
    assert list(locks({**DEFAULTS, "xml": "<!DOCTYPE x><domain/>"}, Tools())) == ["domain:web"]


def test_a_disk_that_one_reads_and_another_writes_to(tools: Tools, image: Path) -> None:
    writing, reading = ({"path": str(image), "format": "raw", "readonly": only} for only in (None, True))
    for first, second in ((writing, reading), (reading, writing)):
        tools.forecast.clear()
        plan_vm({**DEFAULTS, "disks": [first]}, tools)
        with pytest.raises(InUse, match="is declared for web and for db"):
            plan_vm({**DEFAULTS, "name": "db", "disks": [second]}, tools)
    tools.forecast.clear()
    for name in ("web", "db"):
        assert plan_vm({**DEFAULTS, "name": name, "disks": [reading]}, tools).changed


def test_a_disk_that_a_vm_only_reads_as_it_is(tools: Tools, image: Path) -> None:
    reading, left_out = ({"path": str(image), "format": "raw", "readonly": only} for only in (True, None))
    carry_out(plan(tools, disks=[reading]))
    items = [{**DEFAULTS, "disks": [left_out]}, {**DEFAULTS, "name": "db", "disks": [reading]}]
    for pair in (items, items[::-1]):
        tools.forecast.clear()
        assert sorted(plan_vm(item, tools).changed for item in pair) == [False, True]
    tools.forecast.clear()
    plan_vm(items[1], tools)
    with pytest.raises(InUse, match="is declared for db and for web; give each VM a disk of its own"):
        plan_vm({**items[0], "disks": [{**left_out, "readonly": False}]}, tools)


def test_two_names_of_one_disk(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, disks=[{"path": str(image), "format": "raw"}]))
    (image.parent / "link.raw").symlink_to(image)
    (image.parent / "hard.raw").hardlink_to(image)
    later = Tools(version="1")
    for name in ("link.raw", "hard.raw"):
        with pytest.raises(InUse, match="is the disk of the VM web"):
            plan(later, name="db", disks=[{"path": str(image.parent / name), "format": "raw"}])
    later.close()
    with pytest.raises(InvalidOption, match="declared twice"):
        plan(tools, disks=[{"path": str(image), "format": "raw"}, {"path": str(image.parent / "link.raw")}])


def test_items_of_one_task_do_not_share_addresses(tools: Tools) -> None:
    network = [{"network": "default", "mac": "52:54:00:00:00:01"}]
    plan_vm({**DEFAULTS, "disks": [], "networks": network}, tools)
    with pytest.raises(InvalidOption, match="52:54:00:00:00:01 is declared for web and for db"):
        plan_vm({**DEFAULTS, "name": "db", "disks": [], "networks": network}, tools)


def test_an_address_that_another_vm_has_is_told(tools: Tools, image: Path) -> None:
    network = [{"network": "default", "mac": "52-54-00-00-00-0A"}]
    first = plan(tools, disks=[], networks=network)
    assert first.warnings == ()
    carry_out(first)
    assert plan(tools, disks=[], networks=network).warnings == ()
    nic = "<interface type='network'><mac address='52:54:00:00:00:0A'/><source network='default'/></interface>"
    part = f"<domain><devices>{nic}</devices></domain>"
    for given in ({"networks": network}, {"xml": part}):
        second = plan(tools, name="db", disks=[], **given)
        assert [text.partition(";")[0] for text in second.warnings] == [
            "networks: 52:54:00:00:00:0a, an address of the VM db, is one of web too"
        ]
    carry_out(second)
    assert plan(tools, name="db", disks=[], **given).warnings == ()


def test_items_of_one_task_do_not_share(tools: Tools, image: Path) -> None:
    given = {**DEFAULTS, **made(tools, image)}
    plan_vm(given, tools)
    with pytest.raises(InvalidOption, match="web is named twice"):
        plan_vm(dict(given), tools)
    with pytest.raises(InUse, match="declared for web and for db"):
        plan_vm({**given, "name": "db"}, tools)


def test_one_vm_by_two_spellings_of_the_uri(tmp_path: Path) -> None:
    node = tmp_path / "node.xml"
    node.write_text("<node/>")
    places = {"test+unix:///default": "test:///default", "test:///other": f"test://{node}"}
    tools = Tools(connect=lambda uri: Connection.open(places.get(uri, uri)))
    given = {**DEFAULTS, "state": "absent"}
    for item in (given, {**given, "uri": "test:///other"}, given):
        assert not plan_vm(item, tools).changed
    for uri in ("test+unix:///default", "test:///default?socket=/run/x"):
        with pytest.raises(InvalidOption, match="web is named twice"):
            plan_vm({**given, "uri": uri}, tools)
    tools.close()


def test_an_attached_disk_is_what_it_is(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, **made(tools, image)))
    path = str(image.parent / "web.qcow2")
    with pytest.raises(Conflict, match="is on the bus virtio"):
        plan(tools, disks=[{"path": path, "bus": "scsi"}])
    with pytest.raises(Conflict, match="is qcow2 and not raw"):
        plan(tools, disks=[{"path": path, "format": "raw"}])
    assert not plan(tools, disks=[{"path": path, "bus": "virtio", "format": "qcow2"}]).steps


def test_disks_grow_and_never_shrink(tools: Tools, image: Path) -> None:
    path = str(image.parent / "data.raw")
    tools.commands.output(["qemu-img", "create", "-q", "-f", "raw", path, "1M"])
    planned = plan(tools, disks=[{"path": path, "format": "raw", "size": "2MiB"}])
    assert titles(planned) == ["define web", "grow"]
    carry_out(planned)
    assert Path(path).stat().st_size == 2 * MIB
    with pytest.raises(Conflict, match="never shrinks"):
        plan(tools, disks=[{"path": path, "format": "raw", "size": "1MiB"}])


def test_waiting_reads_the_console(tools: Tools, image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = image.parent / "serial.log"
    monkeypatch.setattr(vm_wait, "log_of", lambda root: str(log))
    log.write_bytes(b"booting\r\n\x1b[1mready: web\x1b[0m\r\n")
    wait = {"running": True, "console": "ready: (.*)", "timeout": 0}
    found = carry_out(plan(tools, **made(tools, image), state="running", wait_for=wait))
    assert found["console_match"] == "ready: web"
    silent = plan(tools, state="running", wait_for={**wait, "console": "never"})
    with pytest.raises(
        TimedOut, match=r"did not say 'never' within 0 seconds; its last lines were:\nbooting\nready: web"
    ):
        carry_out(silent)
    carry_out(plan(tools, state="stopped"))
    with pytest.raises(Conflict, match="stopped before its console said 'never'"):
        carry_out(plan(tools, state="present", wait_for={**wait, "console": "never"}))


def test_a_vm_without_a_log_can_not_be_waited_for(tools: Tools, image: Path) -> None:
    with pytest.raises(InvalidOption, match="not logged to a file"):
        plan(tools, **made(tools, image), console=False, wait_for={"console": "x", "timeout": 1})


def test_whole_xml_keeps_identity(tools: Tools) -> None:
    text = "<domain type='test'><memory unit='MiB'>64</memory><os><type>hvm</type></os><devices>{}</devices></domain>"
    nic = "<interface type='network'><source network='default'/></interface>"
    given = {"memory": None, "xml": text.format(nic)}
    first = carry_out(plan(tools, **given))
    assert not plan(tools, **given).steps
    second = carry_out(plan(tools, memory=None, xml=text.format(nic + "<input type='tablet' bus='usb'/>")))
    assert (second["uuid"], second["networks"]) == (first["uuid"], first["networks"])
    with pytest.raises(UnsafeImage, match="document type"):
        plan(tools, memory=None, xml="<!DOCTYPE domain><domain/>")
    with pytest.raises(Conflict, match="has the UUID"):
        plan(
            tools,
            memory=None,
            xml=text.format("").replace("<memory", "<uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid><memory"),
        )


def test_a_seed_is_written_when_its_content_differs(
    tools: Tools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ansible_collections.imageops.fleet.plugins.module_utils._operations import vm_define

    monkeypatch.setattr(vm_define, "default_folder", lambda connection: str(tmp_path))
    given: dict[str, Any] = {"disks": [], "cloud_init": {"user_data": {"password": "secret"}}}
    planned = plan(tools, **given)
    assert titles(planned) == ["write the cloud-init seed", "define web"]
    assert "secret" not in repr((planned.before, planned.after, planned.info))
    found = carry_out(planned)
    assert [(disk["target"], disk["device"], disk["bus"]) for disk in found["disks"]] == [("sda", "cdrom", "scsi")]
    assert (tmp_path / "web-seed.iso").stat().st_mode & 0o777 == 0o600
    assert not plan(tools, **given).steps
    assert titles(plan(tools, disks=[], cloud_init={"user_data": "other"})) == ["write the cloud-init seed"]
    gone: dict[str, Any] = {"disks": [], "cloud_init": {"detached": True}}
    planned = plan(tools, **gone)
    assert titles(planned) == ["change the definition of web", "remove the cloud-init seed"]
    assert carry_out(planned)["disks"] == []
    assert not list(tmp_path.iterdir())
    assert not plan(tools, **gone).steps


def test_a_detached_seed_has_no_content(tools: Tools) -> None:
    with pytest.raises(InvalidOption, match="leave out user_data"):
        plan(tools, disks=[], cloud_init={"detached": True, "user_data": "x"})


def test_locks_name_the_vm_and_its_files(tools: Tools) -> None:
    disks = [{"path": "/v/a.qcow2"}, {"device": "cdrom", "path": "/v/b.iso"}, {"image": "/v/c.qcow2"}]
    assert list(locks({**DEFAULTS, "disks": disks}, tools)) == ["domain:web", "/v/a.qcow2"]
    assert OPERATION.parallel == 8


def test_definitions_survive_a_round_trip(tools: Tools, image: Path) -> None:
    carry_out(plan(tools, **made(tools, image), console=True))
    domain = tools.hypervisor("test:///default").domain("web")
    assert domain is not None
    text = serialise(domain.xml())
    assert serialise(parse(text)) == text
