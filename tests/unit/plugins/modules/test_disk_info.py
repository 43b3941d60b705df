# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._ansible.disk_info_spec import INFO
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    InvalidOption,
    NotFound,
    UnsafeImage,
)
from ansible_collections.imageops.fleet.plugins.module_utils._formats import known as known_module
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_info import (
    images_of,
    plan_disk_info,
    printable,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_tally import summary
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, write_record
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    create,
    patch,
    qemu_img,
    qemu_io,
)
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module


def info(path: Path, **options: Any) -> dict[str, Any]:
    """The result of one image."""
    plan = plan_disk_info({"path": str(path), **options}, Tools())
    assert not plan.changed and plan.after == plan.observe()
    return plan.after


@pytest.fixture(name="base")
def base_fixture(tmp_path: Path) -> Path:
    return create(tmp_path / "base.qcow2", "qcow2", "1M")


@pytest.fixture(name="overlay")
def overlay_fixture(tmp_path: Path, base: Path) -> Path:
    return create(tmp_path / "over.qcow2", "qcow2", "", backing=base.name)


def test_the_result_holds_everything(overlay: Path, base: Path) -> None:
    found = info(overlay)
    assert list(found) and set(found) >= {
        "path",
        "format",
        "variant",
        "virtual_size",
        "file_size",
        "allocated_size",
        "cluster_size",
        "backing",
        "chain",
        "snapshots",
        "bitmaps",
        "encryption",
        "compression",
        "dirty",
        "corrupt",
        "header",
        "safe",
        "findings",
        "record",
        "data_file",
        "extents",
        "partition_table",
    }
    assert (found["format"], found["virtual_size"], found["file_size"]) == ("qcow2", 1 << 20, overlay.stat().st_size)
    assert found["backing"] == {"path": str(base), "format": "qcow2"}
    assert [(one["path"], one["real_path"], one["format"], one["role"]) for one in found["chain"]] == [
        (str(overlay), str(overlay), "qcow2", "image"),
        (str(base), str(base), "qcow2", "backing"),
    ]
    assert found["chain"][1]["virtual_size"] == 1 << 20 and found["chain"][1]["file_size"] == base.stat().st_size
    assert (found["safe"], [one["rule"] for one in found["findings"]]) == (False, ["backing-file"])
    json.dumps(found)


def test_a_declared_backing_makes_it_safe(overlay: Path, base: Path) -> None:
    assert info(overlay, backing=[str(base)], require_safe=True)["safe"]


def test_a_backing_that_our_record_names_makes_it_safe(overlay: Path, base: Path) -> None:
    record = Record(operation="create", format="qcow2", virtual_size=1 << 20, options={"backing": str(base)})
    write_record(str(overlay), record)
    found = info(overlay)
    assert (found["safe"], found["record"]["operation"]) == (True, "create")


@pytest.mark.parametrize(("name", "declared"), [("qcow2", "raw"), ("qcow2", "vdi"), ("raw", "qcow2"), ("vhd", "raw")])
def test_a_contradiction_is_an_error(tmp_path: Path, name: str, declared: str) -> None:
    path = create(tmp_path / "a.img", name, "1M")
    with pytest.raises(Conflict, match=f"^format: {path} was declared as {declared}") as error:
        info(path, format=declared)
    assert error.value.details["safe"] is False


@pytest.mark.parametrize("name", ["vhd", "vpc"])
def test_vhd_and_vpc_are_one_format(tmp_path: Path, name: str) -> None:
    assert info(create(tmp_path / "a.vhd", "vhd", "1M"), format=name)["format"] == "vhd"


def test_require_safe_lists_the_findings(overlay: Path) -> None:
    patch(overlay, 72, ">Q", 2)
    with pytest.raises(UnsafeImage, match=r"not safe to use: .*\(corrupt\).*\(backing-file\)") as error:
        info(overlay, require_safe=True)
    assert {one["rule"] for one in error.value.details["findings"]} == {"corrupt", "backing-file"}


def test_a_missing_path_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing does not exist"):
        info(tmp_path / "nothing")


def test_the_backing_of_a_protocol_is_shown_as_written(overlay: Path) -> None:
    overlay.write_bytes(overlay.read_bytes().replace(b"base.qcow2", b"nbd:x:1234", 1))
    assert info(overlay)["backing"]["path"] == "nbd:x:1234"


def test_names_that_are_no_text_can_be_printed(tmp_path: Path) -> None:
    path = create(tmp_path / os.fsdecode(b"a\xff.qcow2"), "qcow2", "1M")
    assert info(path)["path"].endswith("a\\xff.qcow2")
    assert printable({"a": ("\udcff", 1, None)}) == {"a": ["\\xff", 1, None]}


def test_each_path_is_an_item() -> None:
    options = {"path": None, "paths": ["/a", "/b"], "require_safe": True}
    assert [(item["path"], item["require_safe"]) for item in INFO.items(options)] == [("/a", True), ("/b", True)]
    assert [item["path"] for item in INFO.items({**options, "path": "/c", "paths": None})] == ["/c"]
    assert INFO.items({**options, "paths": []}) == []


@pytest.mark.parametrize("path", [None, "", "disk.qcow2", "/a\0b"])
def test_only_absolute_paths_are_looked_at(path: str | None) -> None:
    with pytest.raises(InvalidOption, match="^path: .*is not an absolute path"):
        plan_disk_info({"path": path, "require_safe": False}, Tools())


def test_a_failed_result_names_no_file_at_its_top(overlay: Path) -> None:
    """Ansible would add owner, group and mode of it."""
    result = run_module("disk_info", {"path": str(overlay), "require_safe": True})
    assert set(result) >= {"failed", "msg", "findings", "disks", "safe"}
    assert not {"path", "owner", "group", "uid", "gid", "mode", "size", "state"} & set(result)
    assert (result["disks"][0]["path"], result["disks"][0]["failed"]) == (str(overlay), True)


def test_a_folder_of_images(tmp_path: Path, overlay: Path, base: Path) -> None:
    (tmp_path / "below").mkdir()
    create(tmp_path / "below" / "a.vdi", "vdi", "1M")
    (tmp_path / "note.txt").write_text("hello")
    result = run_module("disk_info", {"path": str(tmp_path), "recurse": True, "backing": [str(base)]})
    assert [(os.path.relpath(one["path"], tmp_path), one["format"], one["safe"]) for one in result["disks"]] == [
        ("base.qcow2", "qcow2", True),
        ("below/a.vdi", "vdi", True),
        ("note.txt", "raw", True),
        ("over.qcow2", "qcow2", True),
    ]
    refused = run_module("disk_info", {"paths": [str(tmp_path)], "limit": 1})
    assert refused["failed"] and "more than 1 files" in refused["msg"]


def test_a_folder_below_that_can_not_be_read_is_told(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan, below = os.scandir, tmp_path / "below"
    below.mkdir()

    def broken(path: str) -> Any:
        if path == str(below):
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", broken)
    result = run_module("disk_info", {"path": str(tmp_path), "recurse": True})
    assert not result.get("failed")
    (told,) = [one for one in result["disks"] if one["path"] == str(below)]
    assert told["findings"][0]["message"].startswith(f"The folder {below} can't be read: Permission denied; ")
    assert (result["summary"]["safe"], result["summary"]["unsafe"]) == (1, 1)


def test_a_relative_backing_file_is_no_declaration(overlay: Path) -> None:
    result = run_module("disk_info", {"path": str(overlay), "backing": ["base.qcow2"]})
    assert result["failed"] and result["msg"].startswith("backing: 'base.qcow2' is not an absolute path")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("loop", "loop: cannot be opened: Too many levels of symbolic links; give the path"),
        ("file/below", "file/below does not exist; give the path"),
        ("fifo", "fifo: is neither a regular file nor a block device; give the path"),
        ("/proc/self/mem", "/proc/self/mem: has no size, so it is no disk: Invalid argument; give the path"),
    ],
)
def test_what_can_not_be_looked_at_is_told_with_a_way_out(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "fifo")
    message = run_module("disk_info", {"path": str(tmp_path / name)})["msg"]
    assert message.startswith("path: /") and said in message and "Errno" not in message


def test_what_vanished_from_a_folder_is_told(tmp_path: Path) -> None:
    plan = plan_disk_info({"path": str(tmp_path / "gone"), "_listed": True}, Tools())
    assert (plan.after["safe"], [one["rule"] for one in plan.after["findings"]]) == (False, ["not-a-file"])
    with pytest.raises(UnsafeImage, match="does not exist"):
        plan_disk_info({"path": str(tmp_path / "gone"), "_listed": True, "require_safe": True}, Tools())


def test_a_declared_data_file_makes_it_safe(tmp_path: Path) -> None:
    path, data = tmp_path / "a.qcow2", tmp_path / "a.data"
    create(path, "qcow2", "1M", f"data_file={data},data_file_raw=on")
    qemu_io(path, "write 0 64k")
    assert [(one["rule"], one["file"]) for one in info(path)["findings"]] == [("data-file", str(data))]
    found = info(path, backing=[str(data)], require_safe=True)
    assert (found["safe"], found["data_file"]) == (True, str(data))
    assert [(one["role"], one["real_path"]) for one in found["chain"]] == [
        ("image", str(path)),
        ("data-file", str(data)),
    ]
    data.unlink()
    assert [one["rule"] for one in info(path, backing=[str(data)])["findings"]] == ["reference-missing"]


def test_a_shared_base_is_read_once(tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And again as soon as it changed."""
    counted = Mock(wraps=known_module.inspect)
    monkeypatch.setattr(known_module, "inspect", counted)
    for number in range(5):
        create(tmp_path / f"{number}.qcow2", "qcow2", "", backing=base.name)
        assert info(tmp_path / f"{number}.qcow2", backing=[str(base)])["safe"]
    assert counted.call_count == 6
    patch(base, 72, ">Q", 2)
    assert not info(tmp_path / "0.qcow2", backing=[str(base)])["safe"]


def test_partitions_and_ciphers_are_told(tmp_path: Path) -> None:
    path = create(tmp_path / "a.raw", "raw", "8M")
    patch(path, 446, "<B3xB3xII", 0, 0x83, 2048, 4096)
    patch(path, 510, "2s", b"\x55\xaa")
    found = info(path)
    assert found["partition_table"] == {
        "type": "mbr",
        "partitions": [{"number": 1, "start": 1 << 20, "size": 2 << 20, "type": "0x83", "name": None}],
    }
    assert found["encryption"] is None
    secret = tmp_path / "secret"
    secret.write_text("geheim")
    options = ["-o", "encrypt.format=aes,encrypt.key-secret=s"]
    qemu_img(
        "create", "-q", "--object", f"secret,id=s,file={secret}", "-f", "qcow2", *options, str(tmp_path / "b"), "1M"
    )
    assert info(tmp_path / "b")["encryption"] == {"type": "aes", "cipher": "aes", "mode": "cbc-plain64"}


@pytest.fixture(name="store")
def store_fixture(tmp_path: Path, overlay: Path) -> Path:
    """A folder with two safe images, two that are not, and nothing else."""
    create(tmp_path / "c.vdi", "vdi", "1M")
    patch(create(tmp_path / "d.qcow2", "qcow2", "1M"), 72, ">Q", 2)
    return tmp_path


COUNTS = {
    "images": 4,
    "safe": 2,
    "unsafe": 2,
    "formats": {"qcow2": 3, "vdi": 1},
    "rules": {"backing-file": 1, "corrupt": 1},
}


@pytest.mark.parametrize("only_unsafe", [False, True])
@pytest.mark.parametrize("check", [False, True])
def test_a_summary_counts_all_images_whether_listed_or_not(store: Path, only_unsafe: bool, check: bool) -> None:
    result = run_module("disk_info", {"path": str(store), "only_unsafe": only_unsafe}, check=check)
    assert result["summary"] == COUNTS
    names = {Path(disk["path"]).name for disk in result["disks"]}
    assert names == {"over.qcow2", "d.qcow2"} | (set() if only_unsafe else {"base.qcow2", "c.vdi"})


def test_an_unsafe_image_is_told_the_same_whether_it_is_alone_or_not(store: Path) -> None:
    all_of_them, unsafe = (
        run_module("disk_info", {"path": str(store), "only_unsafe": chosen})["disks"] for chosen in (False, True)
    )
    assert unsafe == [disk for disk in all_of_them if not disk["safe"]]


@pytest.mark.parametrize("only_unsafe", [False, True])
def test_a_failed_run_has_its_summary_too(store: Path, only_unsafe: bool) -> None:
    paths = [str(store), str(store / "none")]
    result = run_module("disk_info", {"paths": paths, "only_unsafe": only_unsafe})
    assert (result["failed"], result["summary"]) == (True, COUNTS)
    assert result["disks"][-1]["msg"].startswith(f"path: {store / 'none'} does not exist; give the path of an image")


def test_a_file_that_cannot_be_read_is_counted_without_a_format(store: Path) -> None:
    looked = run_module("disk_info", {"path": str(store / "c.vdi"), "format": "qcow2", "only_unsafe": True})
    assert (looked["failed"], looked["summary"]["rules"]) == (True, {"format-contradiction": 1})
    tools = Tools()
    plan_disk_info({"path": str(store / "gone"), "_listed": True}, tools)
    assert summary(tools)["summary"] == {
        "images": 1,
        "safe": 0,
        "unsafe": 1,
        "formats": {},
        "rules": {"not-a-file": 1},
    }


def test_of_safe_images_nothing_is_kept(tmp_path: Path) -> None:
    first = create(tmp_path / "0", "qcow2", "1M")
    for number in range(1, 300):
        os.link(first, tmp_path / str(number))
    given = {"path": str(tmp_path), "recurse": False, "limit": 300, "only_unsafe": True}
    assert list(images_of(given, Tools())) == []  # what is imported then stays
    items = images_of(given, Tools())
    tracemalloc.start()
    found = list(items)
    now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found, now < 80 << 10, peak < 2 << 20) == ([], True, True), (now, peak)
