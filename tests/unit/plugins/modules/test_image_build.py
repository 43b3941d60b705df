# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A build with a guestfish that only says what the real one would: recipe, record, names, and what is left when it fails."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._faults import FAULT_VARIABLE
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.running import write_lock
from ansible_collections.imageops.fleet.plugins.module_utils._locks import wait_for_lock
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

from ..module_utils._formats.images import qemu_img
from ..module_utils._formats.written import MIB, TEXT, raw

pytestmark = pytest.mark.usefixtures("state_dir", "no_libvirt", "fish")
FISH = r"""#!/bin/bash
while read -r command rest; do
  echo "$command $rest" >>FOLDER/log
  case "$command" in
    echo) echo "$rest"; echo;;
    add-drive) drive=$rest;;
    run) if [[ -e FOLDER/dies && $drive = *golden* ]] || [ -e FOLDER/never-starts ]; then echo 'libguestfs: error: it died' >&2; exit 1; fi;;
    inspect-os) echo /dev/sda1;;
    inspect-get-mountpoints) echo '/: /dev/sda1';;
    upload) cat "${rest%% *}" >>FOLDER/uploaded;;
    download) printf 'os\tID=test\ndeb\tone\t1\tall\tinstalled\ndeb\ttwo\t2\tall\tinstalled\n' >"${rest##* }";;
    mountpoints) if [ -e FOLDER/touches ]; then rm FOLDER/touches; echo two >FOLDER/motd; fi; echo '/dev/sda1: /';;
    sh) if [ -e FOLDER/broken ]; then echo 'libguestfs: error: sh: it broke' >&2; exit 1; fi;;
  esac
done
"""


@pytest.fixture
def no_libvirt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage.world_of.__globals__["World"], "domains_using", lambda *arguments: [])
    monkeypatch.setattr(usage, "pool_folders", lambda tools: set())


@pytest.fixture
def fish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "guestfish"
    program.write_text(FISH.replace("FOLDER", str(folder)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "images"
    path.mkdir()
    raw(path / "base", 8 * MIB, (0, TEXT))
    qemu_img("convert", "-f", "raw", "-O", "qcow2", str(path / "base"), str(path / "base.qcow2"))
    (path / "base").unlink()
    return path


def options(folder: Path, **given: Any) -> dict[str, Any]:
    return {
        "path": str(folder / "golden.qcow2"),
        "base": {"path": str(folder / "base.qcow2")},
        "steps": [{"hostname": "golden"}],
        **given,
    }


def build(folder: Path, *, check: bool = False, **given: Any) -> dict[str, Any]:
    result = run_module("image_build", options(folder, **given), check=check)
    assert not result.get("failed"), result["msg"]
    return result


def refusal(folder: Path, **given: Any) -> str:
    result = run_module("image_build", options(folder, **given))
    assert result.get("failed")
    return str(result["msg"])


def names(folder: Path) -> list[str]:
    return sorted(
        path.name.replace(path.name.split(".")[2], "DIGEST") if path.suffix == ".json" else path.name
        for path in folder.iterdir()
    )


def free(folder: Path) -> int:
    """The lock of the image's jobs, as soon as the process of the last one has gone."""
    lock = wait_for_lock(write_lock(str(folder / "golden.qcow2")), timeout=300.0, wait=Clock().wait_until)
    assert lock is not None
    return lock


def test_an_image_is_built_once(folder: Path, fish: Path) -> None:
    foreseen = build(folder, check=True)
    assert foreseen["changed"] and names(folder) == ["base.qcow2"]
    made = build(folder)
    (item,) = made["builds"]
    assert made["changed"] and foreseen["builds"][0]["recipe"] == item["recipe"]
    assert foreseen["builds"][0]["base"] == {**item["base"], "digest": "(known after apply)"}
    assert names(folder) == ["base.qcow2", "golden.qcow2", "golden.qcow2.DIGEST.spdx.json"]
    assert (item["engine"], item["packages"], item["format"], item["virtual_size"]) == ("guestfs", 2, "qcow2", 8 * MIB)
    assert [phase["name"] for phase in item["job"]["phases"]][1:5] == [
        "start libguestfs", "look for the guest", "begin", "host name golden",
    ]  # fmt: skip
    document = json.loads(Path(item["sbom"]).read_text())
    assert [one["name"] for one in document["packages"]] == ["golden.qcow2", "one", "two"]
    qemu_img("compare", "-q", "-f", "qcow2", "-F", "qcow2", str(folder / "base.qcow2"), str(folder / "golden.qcow2"))
    (fish / "log").unlink()
    again = build(folder)
    assert not again["changed"] and again["builds"][0]["recipe"] == item["recipe"]
    assert not (fish / "log").exists()


def test_a_changed_recipe_makes_it_anew(folder: Path) -> None:
    before = build(folder)["builds"][0]
    after = build(folder, steps=[{"hostname": "other"}])
    assert after["changed"] and after["builds"][0]["recipe"] != before["recipe"]
    assert len(list(folder.glob("*.json"))) == 1
    assert not build(folder, steps=[{"hostname": "other"}])["changed"]
    assert build(folder, steps=[{"hostname": "other"}], force=True)["changed"]


def test_another_base_makes_it_anew(folder: Path) -> None:
    build(folder)
    os.utime(folder / "base.qcow2", ns=(1, 1))
    assert build(folder, check=True)["changed"]


def test_another_password_makes_it_anew_and_is_told_nowhere(folder: Path, fish: Path, tmp_path: Path) -> None:
    def steps(password: str) -> list[dict[str, Any]]:
        return [{"user": {"name": "ops", "password": password}}]

    made = build(folder, steps=steps("of-nobody-1"))
    assert "ops:of-nobody-1" in (fish / "uploaded").read_text()
    assert not build(folder, steps=steps("of-nobody-1"))["changed"]
    assert build(folder, steps=steps("of-nobody-2"))["changed"]
    made["invocation"] = {}
    assert "of-nobody" not in json.dumps(made)
    for path in [*folder.rglob("*"), *(tmp_path / "state").rglob("*"), fish / "log"]:
        if path.is_file() and path.suffix != ".pyz":
            assert b"of-nobody" not in path.read_bytes(), path
    record = read_record(str(folder / "golden.qcow2"))
    assert record and "of-nobody" not in repr(record)


def test_a_disk_grows_and_gets_owner_and_mode(folder: Path) -> None:
    (item,) = build(folder, size="16M", mode="0600", compression="zlib")["builds"]
    assert (item["virtual_size"], item["mode"]) == (16 * MIB, "0600")
    changed = build(folder, size="16M", mode="0644", compression="zlib")
    assert changed["changed"] and changed["builds"][0]["mode"] == "0644"
    assert "job" not in changed["builds"][0]


def test_a_failed_step_leaves_what_was_there(folder: Path, fish: Path) -> None:
    build(folder)
    before = (folder / "golden.qcow2").read_bytes()
    (fish / "broken").touch()
    assert "it broke" in refusal(folder, steps=[{"hostname": "other"}])
    assert (folder / "golden.qcow2").read_bytes() == before
    assert names(folder) == ["base.qcow2", "golden.qcow2", "golden.qcow2.DIGEST.spdx.json"]


@pytest.mark.parametrize(
    "moment",
    [
        "prepared",
        "while-customising",
        "customised",
        "while-writing",
        "before-verify",
        "written",
        "before-publish",
        "sbom-written",
        "after-publish",
    ],
)
def test_killed_at_any_moment_the_next_run_builds_it(
    folder: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    build(folder)
    before = (folder / "golden.qcow2").read_bytes()
    monkeypatch.setenv(FAULT_VARIABLE, f"build:{moment}:kill")
    refusal(folder, steps=[{"hostname": "other"}])
    monkeypatch.delenv(FAULT_VARIABLE)
    now = (folder / "golden.qcow2").read_bytes()
    assert (now != before) == (moment == "after-publish") or now == before
    build(folder, steps=[{"hostname": "other"}])
    assert not build(folder, steps=[{"hostname": "other"}])["changed"]
    assert names(folder) == ["base.qcow2", "golden.qcow2", "golden.qcow2.DIGEST.spdx.json"]


def test_an_image_does_not_replace_what_it_is_made_from(folder: Path) -> None:
    before = (folder / "base.qcow2").read_bytes()
    layer = folder / "layer.qcow2"
    qemu_img("create", "-q", "-f", "qcow2", "-b", str(folder / "base.qcow2"), "-F", "qcow2", str(layer))
    path = str(folder / "base.qcow2")
    for base in ({"path": path}, {"path": str(layer), "backing": [path]}):
        assert "is made from" in refusal(folder, path=path, base=base, force=True)
    assert (folder / "base.qcow2").read_bytes() == before
    (folder / "etc").mkdir()
    assert "would be copied into itself" in refusal(folder, base={"directory": str(folder)})


def test_a_file_that_changes_while_it_is_copied_is_not_in_an_image_of_its_former_content(
    folder: Path, fish: Path
) -> None:
    source = fish / "motd"
    source.write_text("one")
    steps = [{"copy": {"src": str(source), "dest": "/etc/motd"}}]
    (fish / "touches").touch()
    assert f"{source} was written to meanwhile" in refusal(folder, steps=steps)
    assert names(folder) == ["base.qcow2"]
    assert not build(folder, steps=steps)["builds"][0].get("failed")


def test_the_longest_name_is_built(folder: Path) -> None:
    path = str(folder / ("n" * 214))
    (item,) = build(folder, path=path)["builds"]
    assert os.path.exists(path) and os.path.exists(item["sbom"])


def test_what_an_interrupted_build_left_goes_with_the_next_run(folder: Path) -> None:
    build(folder)
    os.close(free(folder))
    before = names(folder)
    left = [
        "imageops-partial",
        "imageops-partial-work",
        "imageops-partial-download",
        "0123456789ab.spdx.json.imageops-partial",
    ]
    for name in left:
        (folder / f".golden.qcow2.{name}").touch()
    (folder / ".golden.qcow2.imageops-partial-tree").mkdir()
    assert not build(folder, check=True)["changed"] and len(names(folder)) == len(before) + 5
    assert not build(folder)["changed"]
    assert names(folder) == before


def test_the_files_of_a_job_that_is_at_work_stay(folder: Path) -> None:
    build(folder)
    (folder / ".golden.qcow2.imageops-partial").touch()
    lock = free(folder)
    build(folder)
    os.close(lock)
    assert (folder / ".golden.qcow2.imageops-partial").exists()
    build(folder)
    assert not (folder / ".golden.qcow2.imageops-partial").exists()


def test_what_no_build_made_is_not_replaced(folder: Path) -> None:
    (folder / "golden.qcow2").write_bytes(b"precious")
    assert "was not made by imageops.fleet" in refusal(folder)
    assert (folder / "golden.qcow2").read_bytes() == b"precious"
    assert build(folder, force=True)["changed"]
    with (folder / "golden.qcow2").open("ab") as stream:
        stream.write(bytes(512))
    assert "was written to since it was made" in refusal(folder)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"base": {}}, "just one of path, image, url"),
        ({"base": {"path": "/a", "url": "https://b/c"}}, "just one of"),
        ({"base": {"path": "/a", "checksum": "sha256:00"}}, "checksum says nothing of a base by path"),
        ({"base": {"path": "a"}}, "not an absolute path"),
        ({"base": {"url": "https://example.org/a"}}, "give its checksum"),
        ({"base": {"url": "https://example.org/a", "checksum": f"sha256:{'0' * 64}", "signature": "https://a/b"}}, "signature is proven by a keyring"),
        ({"size": "4M"}, "never made smaller"),
        ({"steps": [{"grow": "last"}]}, "give 'size' too"),
        ({"keep": ["nothing"]}, "keep: 'nothing' is none of"),
        ({"guest_timeout": 0}, "no time"),
        ({"format": "raw", "compression": "zstd"}, "a raw image has none"),
        ({"path": "relative"}, "not an absolute path"),
        ({"path": f"/nowhere/{'n' * 215}"}, "leaves no room for its SBOM's"),
        ({"steps": [{"packages": ["a"]}, {"delete": ["/etc/resolv.conf"]}]}, "step 2 (delete): /etc/resolv.conf is the host's while"),
        ({"steps": [{"write": {"dest": "/etc/resolv.conf", "content": "x"}}, {"upgrade": True}]}, "step 1 (write): /etc/resolv.conf"),
    ],
)  # fmt: skip
def test_what_cant_be_is_refused_before_anything_is_made(folder: Path, given: dict[str, Any], says: str) -> None:
    assert says in refusal(folder, **given)
    assert names(folder) == ["base.qcow2"]


def test_without_libguestfs_the_task_says_what_is_missing(folder: Path, fish: Path) -> None:
    (fish / "guestfish").unlink()
    assert "guestfish is not installed" in refusal(folder, engine="guestfs")


def test_a_disk_that_ends_libguestfs_is_not_opened_by_the_host(folder: Path, fish: Path) -> None:
    (fish / "dies").touch()
    said = refusal(folder)
    assert "starts on this host, but not with this disk" in said and "it died" in said
    (fish / "never-starts").touch()
    assert "starts on this host" not in refusal(folder)
    assert names(folder) == ["base.qcow2"]


def test_many_images_of_one_base(folder: Path) -> None:
    given = {
        "base": {"path": str(folder / "base.qcow2")},
        "builds": [{"path": str(folder / "one")}, {"path": str(folder / "two"), "format": "raw"}],
    }
    result = run_module("image_build", given)
    assert [item["format"] for item in result["builds"]] == ["qcow2", "raw"]
    assert not run_module("image_build", given)["changed"]


def test_one_name_for_two_images(folder: Path) -> None:
    builds = [options(folder, steps=[{"hostname": name}]) for name in ("a", "b")]
    said = run_module("image_build", {"builds": builds})["msg"]
    assert f"path: {folder}/golden.qcow2 is given for two items of this task" in said
