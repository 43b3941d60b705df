# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import re
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, EngineError, ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._faults import FAULT_VARIABLE
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.running import write_lock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState
from ansible_collections.imageops.fleet.plugins.module_utils._locks import try_lock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    convert_job,
    extent_files,
    usage,
    usage_domains,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.convert_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk import plan_disk
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_convert import plan_convert
from ansible_collections.imageops.fleet.plugins.module_utils._operations.inspection import inspect
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.usage import User
from ansible_collections.imageops.fleet.plugins.module_utils._plan import Plan
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import QemuImg
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.options import SEVERAL_FILES
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record, untouched
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import MIB, disk

pytestmark = pytest.mark.usefixtures("state_dir")
EXTENT = re.compile(r"disk-[0-9a-f]{8}-(flat|[sf]001)\.vmdk")


@pytest.fixture(autouse=True)
def _no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    disk(path / "src", 3 * MIB)
    return path


def params(folder: Path, subformat: str = "twoGbMaxExtentSparse", **given: Any) -> dict[str, Any]:
    given.setdefault("options", {"subformat": subformat} if subformat else {})
    request = params_of(folder / "src", folder / "disk.vmdk", format="vmdk", src_format="raw", **given)
    return read_request(request, Tools()).job("1").params


def convert(wanted: dict[str, Any]) -> None:
    lock = os.open("/dev/null", os.O_RDONLY)
    try:
        convert_job.convert(wanted, Progress(JobState("convert-x", "convert", "r"), Clock()), lock)
    finally:
        os.close(lock)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def extents(folder: Path) -> list[str]:
    return [name for name in names(folder) if EXTENT.fullmatch(name)]


def equal(folder: Path, source: str = "src") -> bool:
    argv = ["qemu-img", "compare", "-q", "-f", "raw", "-F", "vmdk", str(folder / source), str(folder / "disk.vmdk")]
    return subprocess.run(argv, check=False).returncode == 0


@pytest.mark.parametrize("subformat", SEVERAL_FILES)
def test_descriptor_and_extents_are_put_in_place(folder: Path, subformat: str) -> None:
    convert(params(folder, subformat, mode="0640", verify="deep"))
    (extent,) = extents(folder)
    assert names(folder) == [extent, "disk.vmdk", "src"]
    assert {stat.S_IMODE((folder / name).stat().st_mode) for name in (extent, "disk.vmdk")} == {0o640}
    record = read_record(str(folder / "disk.vmdk"))
    assert record is not None
    assert ([one["name"] for one in record.files], record.options) == ([extent], {"subformat": subformat})
    assert untouched(str(folder / "disk.vmdk"), record)
    assert equal(folder)


def test_it_is_a_source_by_its_record_or_its_declared_extents(folder: Path, tmp_path: Path) -> None:
    convert(params(folder))
    found = inspect(str(folder / "disk.vmdk"), declared="vmdk")
    assert [Path(path).name for path in found.files] == ["disk.vmdk", *extents(folder)]
    shutil.copytree(folder, tmp_path / "copy")
    copied = tmp_path / "copy"
    with pytest.raises(ImageOpsError, match="not declared"):
        inspect(str(copied / "disk.vmdk"), declared="vmdk")
    inspect(str(copied / "disk.vmdk"), declared="vmdk", backing=[str(copied / name) for name in extents(copied)])


@pytest.mark.parametrize("after", ["twoGbMaxExtentFlat", "monolithicSparse"])
def test_the_extents_of_what_was_replaced_are_removed(folder: Path, after: str) -> None:
    convert(params(folder))
    old = extents(folder)
    disk(folder / "src", 3 * MIB, seed=9)
    convert(params(folder, after))
    new = extents(folder)
    assert (len(new), set(new) & set(old)) == (0 if after == "monolithicSparse" else 1, set())
    assert names(folder) == [*new, "disk.vmdk", "src"]
    assert equal(folder)


def test_extents_that_another_descriptor_names_stay(folder: Path) -> None:
    convert(params(folder))
    old = extents(folder)
    shutil.copy(folder / "disk.vmdk", folder / "other.vmdk")
    disk(folder / "src", 3 * MIB, seed=9)
    convert(params(folder))
    assert set(old) < set(extents(folder))
    inspect(str(folder / "other.vmdk"), declared="vmdk", backing=[str(folder / name) for name in old])


def test_a_written_or_missing_extent_is_noticed(folder: Path) -> None:
    convert(params(folder))
    dest, extent = folder / "disk.vmdk", folder / extents(folder)[0]
    record = read_record(str(dest))
    os.utime(extent, ns=(1, 1))
    assert not untouched(str(dest), record)
    extent.unlink()
    assert read_record(str(dest)) is None


def test_a_failed_one_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(QemuImg, "compare", lambda *images: False)
    with pytest.raises(EngineError, match="was thrown away: its content differs"):
        convert(params(folder, verify="deep"))
    assert names(folder) == ["src"]


def test_a_note_of_somebody_else_removes_nothing(folder: Path) -> None:
    (folder / "precious.vmdk").write_bytes(b"x")
    note = folder / ".disk.vmdk.imageops-partial-extents.json"
    note.write_text('{"stem": "p", "extents": ["precious.vmdk", "../images/src"]}')
    extent_files.tidy(str(folder / "disk.vmdk"))
    assert names(folder) == ["precious.vmdk", "src"]
    note.write_text("[[[[")
    extent_files.tidy(str(folder / "disk.vmdk"))
    assert names(folder) == ["precious.vmdk", "src"]


MOMENTS = ["before-note", "after-note", "before-write", "before-verify", "before-extent", "after-extent",
           "before-publish", "after-publish", "after-tidy"]  # fmt: skip


def die(work: Callable[[], object], fault: str) -> int:
    """The signal that ended some work in a process of its own."""
    child = os.fork()
    if child == 0:
        os.environ[FAULT_VARIABLE] = fault
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_any_moment_the_old_image_or_the_new_is_whole(folder: Path, moment: str) -> None:
    convert(params(folder))
    old = extents(folder)
    shutil.copy(folder / "src", folder / "before")
    disk(folder / "src", 3 * MIB, seed=9)
    assert die(partial(convert, params(folder)), f"convert:{moment}:kill") == -signal.SIGKILL
    published = moment in ("after-publish", "after-tidy")
    assert (equal(folder), equal(folder, "before")) == (published, not published)
    record = read_record(str(folder / "disk.vmdk"))
    assert record is not None
    inspect(str(folder / "disk.vmdk"), declared="vmdk")
    if published:
        extent_files.tidy(str(folder / "disk.vmdk"))
    else:
        convert(params(folder))
    (extent,) = extents(folder)
    assert (extent not in old, equal(folder)) == (True, True)
    assert names(folder) == ["before", extent, "disk.vmdk", "src"]


@pytest.mark.parametrize("how", ["full", "broken"])
@pytest.mark.parametrize("moment", MOMENTS[2:7])
def test_an_error_at_any_moment_leaves_the_old_image_alone(
    folder: Path, moment: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(params(folder))
    before = names(folder)
    disk(folder / "src", 3 * MIB, seed=9)
    monkeypatch.setenv(FAULT_VARIABLE, f"convert:{moment}:{how}")
    with pytest.raises(OSError, match="fault point"):
        convert(params(folder))
    assert names(folder) == before


def test_hostile_names_of_destinations(folder: Path) -> None:
    dest = folder / 'a "b" \n c.vmdk'
    request = params_of(folder / "src", dest, format="vmdk", src_format="raw", options={"subformat": "monolithicFlat"})
    convert(read_request(request, Tools()).job("1").params)
    (extent,) = [name for name in names(folder) if name.endswith("-flat.vmdk")]
    assert re.fullmatch(r"a__b____c-[0-9a-f]{8}-flat\.vmdk", extent)
    inspect(str(dest), declared="vmdk")


def plan(folder: Path, **given: Any) -> Plan:
    options = {"options": {"subformat": "twoGbMaxExtentSparse"}, "format": "vmdk", "src_format": "raw", **given}
    return plan_convert(params_of(folder / "src", folder / "disk.vmdk", **options), Tools())


def test_the_second_run_does_nothing_but_tidy(folder: Path) -> None:
    convert(params(folder))
    (kept,) = extents(folder)
    assert (plan(folder).steps, plan(folder).upkeep) == ((), ())
    extent_files.note(str(folder / "disk.vmdk"), stem="disk-00000000")
    (folder / "disk-00000000-s001.vmdk").write_bytes(b"x")
    again = plan(folder)
    assert (again.steps, len(again.upkeep)) == ((), 1)
    again.upkeep[0].run()
    assert names(folder) == [kept, "disk.vmdk", "src"]


def test_what_a_job_writes_is_not_tidied(folder: Path) -> None:
    convert(params(folder))
    extent_files.note(str(folder / "disk.vmdk"), stem="disk-00000000")
    handle = try_lock(write_lock(str(folder / "disk.vmdk")))
    assert handle is not None
    plan(folder).upkeep[0].run()
    assert extent_files.is_untidy(str(folder / "disk.vmdk"))
    os.close(handle)


def test_an_image_of_several_files_that_nobody_declared_is_not_compared(folder: Path) -> None:
    convert(params(folder))
    os.removexattr(folder / "disk.vmdk", "user.imageops.record")
    with pytest.raises(Conflict, match="it has no record"):
        plan(folder, verify="deep")


def removal(folder: Path) -> Plan:
    given = {name: None for name in ("size", "options", "backing", "search_paths", "owner", "group", "mode")}
    wanted = {
        "path": str(folder / "disk.vmdk"),
        "state": "absent",
        "format": "vmdk",
        "force": False,
        "allow_shrink": False,
    }
    return plan_disk({**given, **wanted}, Tools())


def test_removing_takes_the_extents_along(folder: Path) -> None:
    convert(params(folder))
    removal(folder).steps[0].run()
    assert names(folder) == ["src"]


@pytest.mark.parametrize("moment", ["after-note", "before-extents"])
def test_a_removal_that_was_killed_is_finished_by_the_next(folder: Path, moment: str) -> None:
    convert(params(folder))
    assert die(removal(folder).steps[0].run, f"disk:{moment}:kill") == -signal.SIGKILL
    for step in removal(folder).steps:
        step.run()
    assert names(folder) == ["src"]


@pytest.mark.parametrize(("moment", "stays"), [("after-note", True), ("before-extents", False)])
def test_a_removal_that_failed_leaves_all_or_nothing(
    folder: Path, moment: str, stays: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    convert(params(folder))
    before = names(folder)
    monkeypatch.setenv(FAULT_VARIABLE, f"disk:{moment}:broken")
    with pytest.raises(OSError, match="fault point"):
        removal(folder).steps[0].run()
    assert names(folder) == (before if stays else ["src"])


def test_extents_that_another_image_names_outlive_a_removal(folder: Path) -> None:
    convert(params(folder))
    shutil.copy(folder / "disk.vmdk", folder / "other.vmdk")
    removal(folder).steps[0].run()
    assert names(folder) == [*extents(folder), "other.vmdk", "src"]
    assert extents(folder)


def test_owner_and_mode_reach_the_extents(folder: Path) -> None:
    convert(params(folder, "monolithicFlat", mode="0640"))
    (extent,) = (folder / name for name in extents(folder))
    (folder / "others-00000000-flat.vmdk").write_bytes(b"")
    changing = plan(folder, options={"subformat": "monolithicFlat"}, mode="0604", group="4711")
    assert [step.title for step in changing.steps] == [
        f"set owner, group and mode of {folder / 'disk.vmdk'} and {extent}"
    ]
    changing.steps[0].run()
    for path in (folder / "disk.vmdk", extent):
        assert (stat.S_IMODE(path.stat().st_mode), path.stat().st_gid) == (0o604, 4711)
    assert not plan(folder, options={"subformat": "monolithicFlat"}, mode="0604", group="4711").steps
    extent.chmod(0o600)
    again = plan(folder, options={"subformat": "monolithicFlat"}, mode="0604")
    assert [step.title for step in again.steps] == [f"set owner, group and mode of {extent}"]
    victim = folder / "victim"
    victim.touch(0o600)
    extent.unlink()
    extent.symlink_to(victim)
    with pytest.raises(OSError):
        again.steps[0].run()
    assert (stat.S_IMODE(victim.stat().st_mode), os.readlink(extent)) == (0o600, str(victim))


def test_extents_stay_when_a_domain_uses_the_image(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(params(folder, "monolithicFlat", mode="0640"))
    (extent,) = (folder / name for name in extents(folder))
    extent.chmod(0o600)
    used = User("domain", "vm", "the VM vm uses it")
    monkeypatch.setattr(usage, "domains_using", lambda path, tools: [used] if path.endswith("disk.vmdk") else [])
    kept = plan(folder, options={"subformat": "monolithicFlat"}, mode="0640")
    assert not kept.steps and re.search(
        "-flat.vmdk: mode is 0600, declared is 0640, but .*left as it is", kept.warnings[0]
    )
