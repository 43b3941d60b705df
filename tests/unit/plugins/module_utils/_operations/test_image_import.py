# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    ImageOpsError,
    InvalidOption,
    NotFound,
    UnsafeImage,
)
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_import import plan_import
from ansible_collections.imageops.fleet.plugins.module_utils._operations.import_request import base_of, name_of
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.tests.unit.packages import DISK, SIZE, package, params_of, tar


@pytest.fixture(autouse=True)
def no_libvirt(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tar(tmp_path / "web.ova", package())


def test_planning_reads_the_descriptor_and_writes_nothing(source: Path, tmp_path: Path, state_dir: Path) -> None:
    plan = plan_import(params_of(source, tmp_path / "vm"), Tools())
    assert plan.changed and plan.before == {}
    assert [step.title for step in plan.steps] == [f"import {source} to {tmp_path}/vm"]
    assert plan.after["disks"] == [
        {"path": f"{tmp_path}/vm/web-disk1.qcow2", "format": "qcow2", "size": SIZE, "bus": "sata"}
    ]
    assert plan.after["manifest"] == "(known after apply)"
    assert sorted(os.listdir(tmp_path)) == ["web.ova"]
    assert not state_dir.exists()


def test_of_streams_nothing_is_known_before(tmp_path: Path) -> None:
    source = tar(tmp_path / "x.box", [("metadata.json", b"{}"), ("box.img", DISK)], packed=True)
    plan = plan_import(params_of(source, tmp_path / "vm"), Tools())
    assert {plan.after[name] for name in ("name", "disks", "machine", "vm")} == {"(known after apply)"}


def test_what_is_left_of_another_is_told(source: Path, tmp_path: Path) -> None:
    Path(partial_path(str(tmp_path / "vm"))).mkdir()
    plan = plan_import(params_of(source, tmp_path / "vm"), Tools())
    assert plan.steps[0].title.endswith("(an unfinished one is thrown away)")


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"src": None}, InvalidOption, "src: nothing says what"),
        ({"src": "web.ova"}, InvalidOption, "src: 'web.ova' is not an absolute path"),
        ({"src": "/none/web.ova"}, NotFound, "src: /none/web.ova does not exist"),
        ({"src": "/dev/null"}, Conflict, "src: /dev/null is no regular file"),
        ({"src": "/proc"}, NotFound, "src: there is no descriptor"),
        ({"dest": "vm"}, InvalidOption, "dest: 'vm' is not an absolute path"),
        ({"dest": "/none/vm"}, NotFound, "dest: the folder /none does not exist"),
        ({"src_format": "raw"}, InvalidOption, "src_format: .* is no disk but a package"),
        ({"trusted_certificates": "ca.pem"}, InvalidOption, "trusted_certificates: 'ca.pem' is not an absolute path"),
        ({"trusted_certificates": "/none/ca.pem"}, NotFound, "trusted_certificates: there is no file"),
        ({"timeout": -1}, InvalidOption, "timeout: -1 seconds"),
        ({"mode": "rw"}, InvalidOption, "mode: 'rw' is not a mode"),
    ],
)
def test_what_is_refused(
    source: Path, tmp_path: Path, given: dict[str, Any], error: type[ImageOpsError], says: str
) -> None:
    with pytest.raises(error, match=f"^{says}"):
        plan_import({**params_of(source, tmp_path / "vm"), **given}, Tools())


def test_paths_that_contradict_each_other(source: Path, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="is there and is no folder"):
        plan_import(params_of(source, source), Tools())
    with pytest.raises(InvalidOption, match="is, or holds, the source"):
        plan_import(params_of(source, tmp_path), Tools())
    (tmp_path / "broken.ova").write_bytes(b"hello")
    with pytest.raises(UnsafeImage, match="is no sound tar"):
        plan_import(params_of(tmp_path / "broken.ova", tmp_path / "vm"), Tools())
    with pytest.raises(InvalidOption, match="trusted_certificates: .* is no OVF package"):
        box = tar(tmp_path / "x.box", [("metadata.json", b"{}")], packed=True)
        plan_import(params_of(box, tmp_path / "vm", trusted_certificates="/etc/passwd"), Tools())


def test_two_descriptors_in_a_folder(tmp_path: Path) -> None:
    for name in ("a.ovf", "b.ovf"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(InvalidOption, match=r"several descriptors in .* \(a\.ovf, b\.ovf\)"):
        plan_import(params_of(tmp_path, tmp_path.parent / "vm"), Tools())


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/x/web.ova", "web"),
        ("/x/debian-12.raw.xz", "debian-12"),
        ("/x/a.tar.gz", "a"),
        ("/x/.ova", "vm"),
        ("/x/plain", "plain"),
    ],
)
def test_names(path: str, name: str) -> None:
    assert name_of(path) == name


def test_names_of_files_are_tame() -> None:
    assert base_of("../../etc/pass wd") == "etc-pass-wd"
    assert base_of("\x00/") == "vm"
    assert len(base_of("x" * 300)) == 63
