# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole module with a real qemu-img and a real job, and what is left when things are killed."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._jobs import launch
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.state import JobState, job_id, read_state
from ansible_collections.imageops.fleet.plugins.module_utils._operations import usage_domains
from ansible_collections.imageops.fleet.plugins.module_utils._records import read_record
from ansible_collections.imageops.fleet.tests.unit import run_module

MIB = 1 << 20
SLOW = "256K"
CLOCK = Clock()


@pytest.fixture(autouse=True)
def host(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without libvirt, and a state directory of the test's own."""
    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "src.raw"
    with path.open("wb") as stream:
        stream.write(os.urandom(2 * MIB))
        stream.truncate(8 * MIB)
    return path


@pytest.fixture
def dest(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out" / "disk.qcow2"


def convert(source: Path, target: Path, *, check: bool = False, **options: Any) -> dict[str, Any]:
    params = {"src": str(source), "dest": str(target), **options}
    return run_module.run_module("disk_convert", params, check=check, diff=check)


def made(result: dict[str, Any]) -> dict[str, Any]:
    """The one item of a run that worked."""
    assert not result.get("failed"), result["msg"]
    (item,) = result["disks"]
    assert isinstance(item, dict)
    assert item["changed"] == result["changed"]
    return item


def refused(result: dict[str, Any]) -> str:
    assert result["failed"] and not result["changed"]
    return str(result["msg"])


def equal(one: Path, other: Path, *, driver: str = "qcow2", source_driver: str = "raw") -> bool:
    done = subprocess.run(["qemu-img", "compare", "-q", "-f", source_driver, "-F", driver, one, other], check=False)
    return done.returncode == 0


def names(dest: Path) -> list[str]:
    return sorted(path.name for path in dest.parent.iterdir())


def touch(path: Path) -> None:
    os.utime(path, ns=(1, os.stat(path).st_mtime_ns + 1))


def write(path: Path, *, at: int = 0) -> None:
    with path.open("r+b") as stream:
        stream.seek(at)
        stream.write(b"written")


def job_of(dest: Path) -> JobState | None:
    return read_state(job_id("convert", str(dest)))


def test_check_then_convert_then_nothing(source: Path, dest: Path, state_dir: Path) -> None:
    foreseen = made(convert(source, dest, check=True))
    assert foreseen["changed"] and foreseen["allocated_size"] == "(known after apply)"
    assert names(dest) == [] and not (state_dir / "jobs").exists()
    first = made(convert(source, dest))
    assert first["changed"] and first["job"]["launcher"] == "setsid"
    assert {key: first[key] for key in foreseen if key not in ("allocated_size", "changed")} == {
        key: value for key, value in foreseen.items() if key not in ("allocated_size", "changed")
    }
    assert equal(source, dest)
    assert names(dest) == ["disk.qcow2"]
    ended, inode = job_of(dest), dest.stat().st_ino
    again = made(convert(source, dest))
    assert not again["changed"] and "job" not in again
    assert (job_of(dest), dest.stat().st_ino) == (ended, inode)
    assert convert(source, dest, check=True)["diff"] == []


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("raw", {}),
        ("raw", {"preallocation": "falloc"}),
        ("qcow2", {"cluster_size": "128K", "compression_type": "zstd"}),
        ("qcow2", {"compress": True}),
        ("qcow2", {"preallocation": "metadata", "compat": "0.10"}),
        ("vmdk", {"subformat": "streamOptimized"}),
        ("vmdk", {"adapter_type": "lsilogic"}),
        ("vhd", {}),
        ("vpc", {"subformat": "fixed", "size_rule": "chs"}),
        ("vhdx", {"subformat": "fixed"}),
        ("vhdx", {"block_size": "1M"}),
        ("vdi", {"static": True}),
    ],
)
def test_every_format_and_its_second_run(source: Path, tmp_path: Path, format: str, options: dict[str, Any]) -> None:
    dest = tmp_path / "disk"
    first = made(convert(source, dest, format=format, options=options, verify="deep"))
    assert first["changed"]
    driver = {"vhd": "vpc"}.get(format, format)
    assert equal(source, dest, driver=driver)
    assert not made(convert(source, dest, format=format, options=options))["changed"]
    touch(source)
    assert not made(convert(source, dest, format=format, options=options))["changed"]


@pytest.mark.parametrize("subformat", ["dynamic", "fixed"])
def test_a_vhd_is_padded_to_whole_mebibytes(source: Path, tmp_path: Path, subformat: str) -> None:
    os.truncate(source, 8 * MIB + 512)
    dest = tmp_path / "disk.vhd"
    options = {"subformat": subformat, "size_rule": "mib"}
    assert made(convert(source, dest, format="vhd", options=options, verify="deep"))["virtual_size"] == 9 * MIB
    found = subprocess.run(["qemu-img", "info", "--output=json", "-f", "vpc", dest], capture_output=True, check=True)
    assert json.loads(found.stdout)["virtual-size"] == 9 * MIB
    assert equal(source, dest, driver="vpc")
    assert not made(convert(source, dest, format="vhd", options=options))["changed"]


def test_the_checksum_of_a_path_is_compared(source: Path, dest: Path) -> None:
    right = "sha256:" + hashlib.sha256(source.read_bytes()).hexdigest()
    assert refused(convert(source, dest, checksum="sha256:" + "0" * 64)).startswith(
        f"checksum: {source} has the sha256"
    )
    assert names(dest) == []
    item = made(convert(source, dest, checksum=right))
    assert (item["checksum"], item["changed"]) == (right, True)
    assert "checksum" in [phase["name"] for phase in item["job"]["phases"]]
    again = made(convert(source, dest, checksum=right))
    assert (again["checksum"], again["changed"]) == (right, False)
    assert not made(convert(source, dest))["changed"]
    assert refused(convert(source, dest, checksum="sha256:" + "0" * 64))
    assert equal(source, dest)


def test_blocks_of_another_format_are_not_shared_in_check_mode_either(source: Path, dest: Path) -> None:
    told = [refused(convert(source, dest, method="reflink", check=check)) for check in (True, False)]
    assert told[0] == told[1]
    assert told[0].startswith(f"method: {dest} can't share the blocks of {source}")


def test_a_touched_source_is_compared_and_the_record_refreshed(source: Path, dest: Path) -> None:
    convert(source, dest)
    ended = job_of(dest)
    touch(source)
    assert not made(convert(source, dest, check=True))["changed"]
    stale = read_record(str(dest))
    assert not made(convert(source, dest))["changed"]
    assert job_of(dest) == ended
    fresh = read_record(str(dest))
    assert stale and fresh
    assert stale.source["files"][0]["mtime_ns"] != source.stat().st_mtime_ns
    assert fresh.source["files"][0]["mtime_ns"] == source.stat().st_mtime_ns


def test_a_changed_source_is_converted_again(source: Path, dest: Path) -> None:
    convert(source, dest)
    write(source)
    assert made(convert(source, dest))["changed"]
    assert equal(source, dest)


def test_other_options_are_converted_again(source: Path, dest: Path) -> None:
    convert(source, dest)
    assert made(convert(source, dest, options={"compress": True}))["changed"]
    assert not made(convert(source, dest, options={"compress": True}))["changed"]


def test_a_destination_that_was_written_to_is_kept(source: Path, dest: Path) -> None:
    convert(source, dest)
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 7 0 64k", str(dest)], check=True, capture_output=True)
    assert not made(convert(source, dest))["changed"]
    touch(source)
    said = refused(convert(source, dest))
    assert said.startswith(f"dest: {dest} exists and was written to since it was made, so it is not replaced")
    assert refused(convert(source, dest, verify="deep")) == said
    assert not equal(source, dest)
    assert made(convert(source, dest, force=True))["changed"]
    assert equal(source, dest)
    assert not made(convert(source, dest, force=True))["changed"]


def test_a_stranger_is_kept_unless_told(source: Path, dest: Path) -> None:
    dest.write_bytes(b"precious" * 1000)
    before = dest.read_bytes()
    assert "was not made by imageops.fleet (it has no record)" in refused(convert(source, dest))
    assert refused(convert(source, dest, check=True))
    assert dest.read_bytes() == before
    assert made(convert(source, dest, force=True))["changed"]


def test_a_stranger_with_the_same_content_is_adopted(source: Path, dest: Path) -> None:
    subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", source, dest], check=True)
    inode = dest.stat().st_ino
    assert not made(convert(source, dest, verify="deep"))["changed"]
    assert dest.stat().st_ino == inode
    assert not made(convert(source, dest))["changed"]


def test_deep_finds_what_fingerprints_hide(source: Path, dest: Path) -> None:
    convert(source, dest)
    before = source.stat()
    write(source)
    os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not made(convert(source, dest))["changed"]
    assert made(convert(source, dest, verify="deep"))["changed"]
    assert equal(source, dest)


def test_items_of_a_list_may_rest_on_each_other(source: Path, tmp_path: Path) -> None:
    one, two, three = tmp_path / "one.qcow2", tmp_path / "two.vmdk", tmp_path / "three.raw"
    items = [
        {"src": str(source), "dest": str(one)},
        {"src": str(one), "dest": str(two), "format": "vmdk"},
        {"src": str(two), "dest": str(three), "format": "raw"},
    ]

    def run(check: bool = False) -> list[bool]:
        result = run_module.run_module("disk_convert", {"disks": items}, check=check)
        assert not result.get("failed"), result["msg"]
        return [item["changed"] for item in result["disks"]]

    assert run(check=True) == [True] * 3
    assert not three.exists()
    assert run() == [True] * 3
    assert equal(source, three, driver="raw")
    assert run() == [False] * 3
    write(source)
    assert run(check=True) == [True] * 3
    assert run() == [True] * 3
    assert equal(source, three, driver="raw")
    assert run() == [False] * 3


def test_one_destination_for_two_items_is_refused(source: Path, dest: Path) -> None:
    items = [{"dest": str(dest)}, {"dest": str(dest), "format": "raw"}]
    result = run_module.run_module("disk_convert", {"src": str(source), "disks": items})
    assert "is given for two items of this task" in refused(result)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"options": {"cluster_size": "3K"}}, "options.cluster_size: '3K' is not allowed"),
        ({"options": {"zebra": 1}}, "options.zebra: qcow2 has no such option"),
        ({"format": "raw", "options": {"compress": True}}, "options.compress: raw has no such option"),
        ({"options": {"compress": "maybe"}}, "options.compress: 'maybe' is not allowed"),
        ({"bandwidth": "fast"}, "bandwidth: 'fast' is not a size"),
        ({"src_format": "qcow2"}, "src: "),
        ({"src": "/nowhere/x"}, "src: /nowhere/x does not exist"),
        ({"src": None}, "src: nothing is given"),
        ({"dest": "/nowhere/x"}, "dest: the folder /nowhere does not exist"),
        ({"dest": "/dev/null"}, "dest: /dev/null is neither a regular file nor a block device"),
        ({"owner": "nobody-at-all"}, "owner: "),
        ({"mode": "rw"}, "mode: 'rw'"),
    ],
)
def test_options_are_judged_before_anything_is_done(
    source: Path, dest: Path, options: dict[str, Any], said: str
) -> None:
    assert refused(convert(source, dest, **options)).startswith(said)
    assert names(dest) == []


def test_the_source_itself_is_no_destination(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    assert "is the source itself" in refused(convert(source, tmp_path / "link", force=True))


def test_an_overlay_needs_its_backing_declared(source: Path, tmp_path: Path, dest: Path) -> None:
    overlay = tmp_path / "overlay.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", source, "-F", "raw", overlay], check=True)
    assert "src: " in refused(convert(overlay, dest))
    assert made(convert(overlay, dest, src_backing=[str(source)]))["changed"]
    assert equal(source, dest)
    assert not made(convert(overlay, dest, src_backing=[str(source)]))["changed"]
    write(source)
    assert made(convert(overlay, dest, src_backing=[str(source)]))["changed"]
    assert "a part of its chain" in refused(convert(overlay, source, src_backing=[str(source)], force=True))


def test_a_source_that_an_engine_writes_to_is_refused(source: Path, dest: Path) -> None:
    with engine_on(source, "raw"):
        assert "so a copy would be torn" in refused(convert(source, dest))


def test_a_destination_in_use_is_not_replaced(source: Path, dest: Path) -> None:
    convert(source, dest)
    write(source)
    with engine_on(dest, "qcow2"):
        assert "in use" in refused(convert(source, dest, force=True))
    assert not equal(source, dest)


class engine_on:
    """A qemu-io that has an image open for writing."""

    def __init__(self, path: Path, format: str) -> None:
        argv = ["qemu-io", "-f", format, str(path)]
        self.process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.path = path

    def __enter__(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(b"length\n")
        self.process.stdin.flush()
        assert self.process.stdout.read(8)

    def __exit__(self, *error: object) -> None:
        self.process.communicate(b"quit\n")


# The module in a process of its own. Who joins a job that another task began lets it end.
RUN = f"""
import json, pathlib, sys
from {launch.__package__} import launch
from {run_module.__package__} import run_module
share = launch.share
def joined(*words):
    share(*words)
    pathlib.Path(sys.argv[2]).touch()
launch.share, launch.launcher_here = joined, lambda: launch.SESSION
print(json.dumps(run_module.run_module("disk_convert", json.loads(sys.argv[1]))))
"""
# Does what it is asked for; but a conversion ends only when the test says so.
HELD = """#!/bin/sh
{engine} "$@"
code=$?
while [ "$1" = convert ] && [ -d {gate.parent} ] && [ ! -e {gate} ]; do sleep 0.02; done
exit $code
"""


@pytest.fixture
def gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A conversion that has begun lasts until this file is there; who joins it makes the file."""
    path, folder, share = tmp_path / "gate", tmp_path / "bin", launch.share
    folder.mkdir()
    (folder / "qemu-img").write_text(HELD.format(engine=shutil.which("qemu-img"), gate=path))
    (folder / "qemu-img").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def joined(*words: Any) -> None:
        share(*words)
        path.touch()

    monkeypatch.setattr(launch, "share", joined)
    return path


def begun(source: Path, dest: Path, **options: Any) -> subprocess.Popen[str]:
    params = {"src": str(source), "dest": str(dest), **options}
    argv = [sys.executable, "-c", RUN, json.dumps(params), str(dest.parent.parent / "gate")]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)


def result_of(process: subprocess.Popen[str]) -> dict[str, Any]:
    result = json.loads(process.communicate(timeout=300)[0])
    assert isinstance(result, dict)
    return result


def working(dest: Path) -> int:
    """The process id of the helper once qemu-img has begun to write."""
    assert CLOCK.wait_until(lambda: bool((state := job_of(dest)) and state.phase == "convert"), 120)
    state = job_of(dest)
    assert state is not None
    assert CLOCK.wait_until(lambda: bool(engines(dest)), 120)
    return state.pid


def engines(dest: Path) -> list[int]:
    """Every qemu-img that names the partial file of `dest`."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if b"qemu-img" in map(os.path.basename, words[:2]) and any(f".{dest.name}.".encode() in word for word in words):
            found.append(int(folder.name))
    return found


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """At SLOW this takes half a minute; qemu-img has 32 MiB under way before its limit counts."""
    path = tmp_path / "large.raw"
    path.write_bytes(bytes(range(1, 256)) * (40 * MIB // 255))
    return path


@pytest.fixture
def ended(dest: Path) -> Iterator[None]:
    """No engine of the test is left."""
    yield
    assert CLOCK.wait_until(lambda: not engines(dest), 120)


@pytest.mark.usefixtures("ended")
class TestInterrupted:
    """`dest` is the old content or the new, and the next run converges."""

    def converges(self, source: Path, dest: Path) -> None:
        assert made(convert(source, dest))["changed"]
        assert equal(source, dest)
        assert names(dest) == ["disk.qcow2"]

    def old(self, large: Path, dest: Path) -> bytes:
        convert(large, dest)
        write(large)
        return dest.read_bytes()

    def test_the_helper_is_killed(self, large: Path, dest: Path) -> None:
        before = self.old(large, dest)
        process = begun(large, dest, bandwidth=SLOW)
        os.kill(working(dest), signal.SIGKILL)
        assert "died before" in refused(result_of(process))
        assert CLOCK.wait_until(lambda: not engines(dest), 120)
        assert dest.read_bytes() == before
        self.converges(large, dest)

    def test_the_engine_is_killed(self, large: Path, dest: Path) -> None:
        before = self.old(large, dest)
        process = begun(large, dest, bandwidth=SLOW)
        working(dest)
        os.kill(engines(dest)[0], signal.SIGKILL)
        assert "qemu-img was ended by SIGKILL" in refused(result_of(process))
        assert dest.read_bytes() == before
        assert names(dest) == ["disk.qcow2"]
        self.converges(large, dest)

    def test_the_job_is_stopped(self, large: Path, dest: Path) -> None:
        process = begun(large, dest, bandwidth=SLOW)
        os.kill(working(dest), signal.SIGTERM)
        assert "was stopped before" in refused(result_of(process))
        assert names(dest) == []
        self.converges(large, dest)

    @pytest.mark.usefixtures("gate")
    def test_the_module_is_killed_and_the_next_one_joins(self, source: Path, dest: Path) -> None:
        process = begun(source, dest)
        pid = working(dest)
        process.kill()
        process.communicate()
        result = made(convert(source, dest))
        assert result["joined"] and result["changed"]
        state = job_of(dest)
        assert state is not None and (state.pid, state.status) == (pid, "done")
        assert equal(source, dest)

    @pytest.mark.usefixtures("gate")
    def test_two_at_once_make_one(self, source: Path, dest: Path) -> None:
        results = [result_of(process) for process in [begun(source, dest), begun(source, dest)]]
        assert [result.get("failed", False) for result in results] == [False, False], results
        assert sorted(bool(made(result).get("joined")) for result in results) == [False, True]
        assert equal(source, dest)

    def test_two_that_differ_are_not_mixed(self, source: Path, dest: Path, gate: Path) -> None:
        first = begun(source, dest)
        working(dest)
        assert "with other options" in refused(convert(source, dest, options={"compress": True}))
        gate.touch()
        assert made(result_of(first))["changed"]
        assert equal(source, dest)

    @pytest.mark.usefixtures("gate")
    def test_a_limit_of_time_lets_the_job_go_on(self, source: Path, dest: Path) -> None:
        said = refused(convert(source, dest, timeout=1))
        assert "has not ended within 1 seconds" in said
        assert made(convert(source, dest))["joined"]
        assert equal(source, dest)

    def test_the_source_is_written_to_meanwhile(self, source: Path, dest: Path, gate: Path) -> None:
        process = begun(source, dest)
        working(dest)
        write(source, at=4 * MIB)
        gate.touch()
        assert "was written to while it was being converted" in refused(result_of(process))
        assert names(dest) == []
        self.converges(source, dest)

    def test_the_destination_appears_meanwhile(self, source: Path, dest: Path, gate: Path) -> None:
        process = begun(source, dest)
        working(dest)
        dest.write_bytes(b"precious")
        gate.touch()
        assert "was changed by somebody else" in refused(result_of(process))
        assert dest.read_bytes() == b"precious"
        assert names(dest) == ["disk.qcow2"]


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB; needs root, as the suite has in CI."""
    folder, image = tmp_path / "small", tmp_path / "small.img"
    folder.mkdir()
    image.touch()
    os.truncate(image, 6 * MIB)
    subprocess.run(["mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("options", [{}, {"format": "raw", "options": {"preallocation": "falloc"}}])
def test_a_full_file_system_is_one_sentence(tmp_path: Path, small: Path, options: dict[str, Any]) -> None:
    source = tmp_path / "large.raw"
    source.write_bytes(os.urandom(16 * MIB))
    said = refused(convert(source, small / "disk", **options))
    assert "No space left on device" in said or "only" in said and "are free" in said
    assert sorted(path.name for path in small.iterdir()) == ["lost+found"]
