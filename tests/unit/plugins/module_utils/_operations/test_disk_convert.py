# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, InvalidOption, NoSpace
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._operations import disk_convert, usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.tests.unit.convert_params import params_of


@pytest.fixture(autouse=True)
def no_libvirt(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "src"
    path.write_bytes(b"\1" * 65536)
    return path


def test_planning_writes_nothing(source: Path, tmp_path: Path, state_dir: Path) -> None:
    plan = disk_convert.plan_convert(params_of(source, tmp_path / "d"), Tools())
    assert plan.changed and not plan.provisional
    assert plan.before == {}
    assert plan.after["virtual_size"] == 65536
    assert [step.title for step in plan.steps] == [f"convert {source} (raw) to {tmp_path}/d (qcow2)"]
    assert not state_dir.exists()


def test_what_is_left_of_another_is_told(source: Path, tmp_path: Path) -> None:
    Path(partial_path(str(tmp_path / "d"))).touch()
    plan = disk_convert.plan_convert(params_of(source, tmp_path / "d"), Tools())
    assert plan.steps[0].title.endswith("(an unfinished one is thrown away)")


def test_a_plan_on_a_foreseen_source_is_provisional(source: Path, tmp_path: Path) -> None:
    tools = Tools()
    disk_convert.plan_convert(params_of(source, tmp_path / "a"), tools)
    later = disk_convert.plan_convert(params_of(tmp_path / "a", tmp_path / "b", format="raw"), tools)
    assert later.provisional and later.changed
    assert (later.after["src_format"], later.after["virtual_size"]) == ("qcow2", 65536)
    (tmp_path / "c").write_bytes(b"precious")
    with pytest.raises(Conflict, match="has no record"):
        disk_convert.plan_convert(params_of(tmp_path / "a", tmp_path / "c"), tools)


def test_two_items_with_one_destination(source: Path, tmp_path: Path) -> None:
    tools = Tools()
    disk_convert.plan_convert(params_of(source, tmp_path / "a"), tools)
    with pytest.raises(InvalidOption, match="two items of this task"):
        disk_convert.plan_convert(params_of(source, tmp_path / "a"), tools)


def test_the_space_of_a_whole_disk_is_asked_for_first(source: Path, tmp_path: Path) -> None:
    huge = tmp_path / "huge.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", huge, "32T"], check=True)
    given = params_of(huge, tmp_path / "d", format="raw", options={"preallocation": "full"})
    with pytest.raises(NoSpace, match=r"^dest: .* needs about 32 TiB"):
        disk_convert.plan_convert(given, Tools())


def test_locks_and_joins_are_by_the_real_name(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "d")
    given = params_of(source, tmp_path / "link")
    assert list(disk_convert.OPERATION.locks(given, Tools())) == [str(tmp_path / "d")]
    assert not disk_convert.OPERATION.join(given, Tools())
    assert not disk_convert.OPERATION.join(params_of(tmp_path / "none", tmp_path / "d"), Tools())
