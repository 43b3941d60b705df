# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    EngineError,
    ImageOpsError,
    InUse,
    InvalidOption,
    NotFound,
    UnsafeImage,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._files import partial_path
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock import Clock
from ansible_collections.imageops.fleet.plugins.module_utils._jobs.progress import Progress
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    base_files,
    disk_chain,
    disk_chain_commit,
    disk_chain_job,
    disk_chain_rest,
    usage,
    usage_domains,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.base_files import Bases
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_chain_act import decide
from ansible_collections.imageops.fleet.plugins.module_utils._operations.disk_chain_request import read_request
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._plan import KNOWN_AFTER
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image_locks import Holders
from ansible_collections.imageops.fleet.plugins.module_utils._qmp import client as qmp
from ansible_collections.imageops.fleet.plugins.module_utils._records import (
    Record,
    read_record,
    untouched,
    write_record,
)

DEFAULTS: dict[str, Any] = {
    "depth": None,
    "backing": None,
    "commit": None,
    "chain": None,
    "verify": "quick",
    "rewrite": False,
    "remove_unused": False,
    "bandwidth": None,
    "timeout": 0,
    "search_paths": None,
    "on_interrupt": "detach",
    "lease_timeout": 60,
}


def run(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def params(path: Path, **given: Any) -> dict[str, Any]:
    return {**DEFAULTS, "path": str(path), **given}


def on(path: Path, **more: Any) -> dict[str, Any]:
    return {"path": str(path), "format": None, "chain": None, "unsafe": False, "relative": None, **more}


def into(path: Path, *, keep: bool = False) -> dict[str, Any]:
    return {"into": str(path), "keep": keep}


@cache
def overlay(format: str, place: str) -> bytes:
    """An overlay of a base with a long name, with data of its own at `place`."""
    with tempfile.TemporaryDirectory() as folder:
        base, path = f"{folder}/{'b' * 220}", f"{folder}/overlay"
        run("qemu-img", "create", "-q", "-f", format, base, "4M")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F", format, path)
        run("qemu-io", "-f", "qcow2", "-c", f"write -P 7 {place} 256k", path)
        return Path(path).read_bytes()


def over(below: Path, format: str, place: str) -> bytes:
    """The same over another base: where the header says (its bytes 8 to 19) stands the name."""
    data, name = bytearray(overlay(format, place)), os.fsencode(below)
    offset, length = struct.unpack_from(">QI", data, 8)
    assert data[offset + length - 9 : offset + length] == b"b" * 9 and len(name) <= length
    data[offset : offset + length] = name.ljust(length, b"\0")
    struct.pack_into(">I", data, 16, len(name))
    return bytes(data)


class Chain:
    """base.raw <- low <- high <- top, each with data of its own, all ours."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.base, self.low, self.high, self.top = (folder / name for name in ("base.raw", "low", "high", "top"))
        self.base.write_bytes(b"\1" * (4 << 20))
        for below, path, format, place in (
            (self.base, self.low, "raw", "0"),
            (self.low, self.high, "qcow2", "1M"),
            (self.high, self.top, "qcow2", "2M"),
        ):
            path.write_bytes(over(below, format, place))
            made = Record("overlay", "qcow2", 4 << 20, options={"backing": str(below), "backing_format": format})
            write_record(str(path), made)
        write_record(str(self.base), Record("create", "raw", 4 << 20))
        own, rest = b"\7" * (256 << 10), b"\1" * (768 << 10)
        self.seen = 3 * (own + rest) + b"\1" * (1 << 20)

    def content(self, path: Path, format: str = "qcow2") -> bytes:
        raw = self.folder / "seen"
        run("qemu-img", "convert", "-f", format, "-O", "raw", str(path), str(raw))
        try:
            return raw.read_bytes()
        finally:
            raw.unlink()

    def names(self) -> list[str]:
        said = run("qemu-img", "info", "-f", "qcow2", "--backing-chain", str(self.top))
        return [Path(line.split(": ")[1]).name for line in said.splitlines() if line.startswith("image: ")]


class FakeProgress(Progress):
    """Keeps the names of phases and what was to be cleaned."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.to_clean: list[str] = []

    def phase(self, name: str, *, total: int = 0) -> None:
        self.phases.append(name)

    def update(self, done: int) -> None:
        assert done >= 0

    def leaves(self, *paths: str) -> None:
        self.to_clean += paths


@pytest.fixture
def chain(tmp_path: Path, state_dir: Path) -> Chain:
    return Chain(tmp_path)


@pytest.fixture(autouse=True)
def engines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """No libvirt; qemu-img does what block jobs would, and what was asked is kept."""
    asked: list[str] = []

    @contextmanager
    def daemon(*, pass_fds: Any) -> Iterator[Any]:
        nodes: list[dict[str, Any]] = []
        yield type("Daemon", (), {"add": lambda self, more: nodes.extend(more), "nodes": nodes})()

    def files(used: Any) -> list[str]:
        return [node["file"]["filename"] for node in reversed(used.nodes)]

    def copy_up(used: Any, *, base: int | None, speed: int | None, report: Any) -> None:
        top, below = files(used)[0], files(used)[base] if base else ""
        asked.append(f"copy up {base} {speed}")
        now = run("qemu-img", "info", "-f", "qcow2", top).split("backing file: ")[1].split("\n")[0]
        format = ["-F", "qcow2" if below.endswith(("low", "high")) else "raw"] if below else []
        run("qemu-img", "rebase", "-q", "-f", "qcow2", "-b", below, *format, top)
        run("qemu-img", "rebase", "-q", "-u", "-f", "qcow2", "-F", "qcow2", "-b", now, top)
        report(1, 2)

    def commit_down(used: Any, *, base: int, speed: int | None, report: Any) -> None:
        asked.append(f"commit {base} {speed}")
        run("qemu-img", "commit", "-q", "-d", "-f", "qcow2", "-b", files(used)[base], files(used)[0])
        report(0, 0)

    monkeypatch.setattr(usage_domains, "LIBVIRT_SIGNS", ())
    for module in (disk_chain_rest, disk_chain_commit):
        monkeypatch.setattr(module, "storage_daemon", daemon)
    monkeypatch.setattr(disk_chain_rest.block_jobs, "copy_up", copy_up)
    monkeypatch.setattr(disk_chain_rest.block_jobs, "commit_down", commit_down)
    monkeypatch.setattr(qmp, "library", lambda: None)
    monkeypatch.setattr(disk_chain, "require_program", str)
    return asked


def work(given: dict[str, Any]) -> FakeProgress:
    """Do the job that the item would start."""
    progress = FakeProgress()
    request = disk_chain.job_of_request(read_request(given), "9", search_paths=[]).params
    disk_chain_job.change(request, progress, 2)
    return progress


def kind(given: dict[str, Any]) -> str:
    return decide(read_request(given)).kind


@pytest.mark.parametrize("verify", ["quick", "deep"])
@pytest.mark.parametrize(("depth", "left"), [(3, ["top", "low", "base.raw"]), (2, ["top", "base.raw"]), (1, ["top"])])
def test_shortening(chain: Chain, verify: str, depth: int, left: list[str]) -> None:
    given = params(chain.top, depth=depth, verify=verify, bandwidth="1M")
    progress = work(given)
    assert chain.names() == left
    assert chain.content(chain.top) == chain.seen
    assert progress.phases == ["inspect", "copy", *(["compare"] if verify == "deep" else [])]
    assert kind(given) == "nothing"


@pytest.mark.parametrize("verify", ["quick", "deep"])
def test_a_flat_image_written_anew(chain: Chain, verify: str) -> None:
    given = params(chain.top, depth=1, rewrite=True, verify=verify, bandwidth="100M")
    inode = chain.top.stat().st_ino
    work(given)
    assert chain.names() == ["top"] and chain.content(chain.top) == chain.seen and kind(given) == "nothing"
    assert chain.top.stat().st_ino != inode
    record = read_record(str(chain.top))
    assert record and "backing" not in record.options and untouched(str(chain.top), record)


@pytest.mark.parametrize("point", ["before-copy", "copied", "before-header", "header-written"])
def test_a_chain_known_by_its_records_is_known_after_a_crash(
    chain: Chain, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = params(chain.top, depth=2)
    with monkeypatch.context() as patch:
        patch.setenv("IMAGEOPS_FAULT", f"chain:{point}:broken")
        with pytest.raises(OSError, match=point):
            work(given)
    assert chain.content(chain.top) == chain.seen
    work(given)
    assert chain.names() == ["top", "base.raw"] and chain.content(chain.top) == chain.seen


@pytest.mark.parametrize("dropped", [7, [3], [{"path": 3}], [{"path": "/a\0b"}], [{}]])
def test_garbage_in_a_record_names_nothing(chain: Chain, dropped: Any) -> None:
    work(params(chain.top, depth=1))
    write_record(str(chain.top), Record("chain", "qcow2", 4 << 20, options={"dropped": dropped}))
    assert not disk_chain.plan_chain(params(chain.top, depth=1, remove_unused=True), Tools()).changed


def test_a_record_that_others_may_write_removes_nothing(chain: Chain) -> None:
    work(params(chain.top, depth=1))
    chain.top.chmod(0o666)
    assert not disk_chain.plan_chain(params(chain.top, depth=1, remove_unused=True), Tools()).changed
    chain.top.chmod(0o644)
    assert disk_chain.plan_chain(params(chain.top, depth=1, remove_unused=True), Tools()).changed


def test_a_short_chain_is_left_alone(chain: Chain) -> None:
    plan = disk_chain.plan_chain(params(chain.top, depth=4), Tools())
    assert not plan.changed
    result = plan.observe()
    assert result["chain_before"] == result["chain_after"] and result["unused"] == []


def test_the_record_tells_the_new_backing_file(chain: Chain) -> None:
    work(params(chain.top, depth=3))
    record = read_record(str(chain.top))
    assert record and record.options["backing"] == str(chain.low) and record.options["backing_format"] == "qcow2"
    assert untouched(str(chain.top), record)
    assert [one["path"] for one in record.options["dropped"]] == [str(chain.high)]
    work(params(chain.top, depth=1))
    record = read_record(str(chain.top))
    assert record and "backing" not in record.options


@pytest.mark.parametrize("written", [False, True])
def test_the_record_tells_whether_it_was_written_to(chain: Chain, written: bool) -> None:
    write_record(str(chain.top), Record("overlay", "qcow2", 4 << 20, options={"backing": str(chain.high)}))
    if written:
        run("qemu-io", "-f", "qcow2", "-c", "write 0 64k", str(chain.top))
    work(params(chain.top, depth=1))
    assert untouched(str(chain.top), read_record(str(chain.top))) is not written


@pytest.mark.parametrize("verify", ["quick", "deep"])
def test_another_backing_file_in_a_new_overlay(chain: Chain, verify: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\1" * (3 << 20) + b"\2" * (2 << 20))
    inode = chain.top.stat().st_ino
    given = params(chain.top, backing=on(other, format="raw"), verify=verify, bandwidth="100M")
    progress = work(given)
    assert chain.names() == ["top", "other"]
    assert chain.content(chain.top) == chain.seen
    assert chain.top.stat().st_ino != inode and chain.top.stat().st_mode & 0o777 == 0o644
    assert progress.to_clean == [partial_path(str(chain.top))]
    assert not Path(partial_path(str(chain.top))).exists()
    assert kind(given) == "nothing"


def test_a_layer_of_the_chain_as_backing_file(chain: Chain) -> None:
    given = params(chain.top, backing=on(chain.base, format="raw"))
    assert kind(given) == "copy-up"
    work(given)
    assert chain.names() == ["top", "base.raw"] and chain.content(chain.top) == chain.seen


@pytest.mark.parametrize(("relative", "name"), [(True, "high"), (False, None), (None, None)])
def test_the_name_in_the_header(chain: Chain, relative: bool | None, name: str | None) -> None:
    given = params(chain.top, backing=on(chain.high, relative=relative))
    assert kind(given) == ("header" if relative else "nothing")
    work(given)
    assert f"backing file: {name or chain.high}" in run("qemu-img", "info", "-f", "qcow2", str(chain.top))
    assert chain.content(chain.top) == chain.seen and kind(given) == "nothing"


def test_a_missing_backing_file_needs_unsafe(chain: Chain, tmp_path: Path) -> None:
    moved = chain.high.rename(tmp_path / "moved")
    with pytest.raises(UnsafeImage, match="unsafe"):
        decide(read_request(params(chain.top, backing=on(moved, chain=[str(chain.low), str(chain.base)]))))
    given = params(chain.top, backing=on(moved, unsafe=True))
    assert kind(given) == "header"
    work(given)
    assert chain.content(chain.top) == chain.seen and kind(given) == "nothing"


def test_a_commit_into_the_base(chain: Chain) -> None:
    given = params(chain.top, commit=into(chain.base), verify="deep")
    work(given)
    assert sorted(path.name for path in chain.folder.iterdir()) == ["base.raw", "state"]
    assert chain.content(chain.base, "raw") == chain.seen
    assert kind(given) == "nothing"
    assert not disk_chain.plan_chain(given, Tools()).changed


def test_a_commit_grows_a_smaller_base(chain: Chain) -> None:
    run("qemu-img", "resize", "-q", "-f", "qcow2", str(chain.top), "6M")
    work(params(chain.top, commit=into(chain.base)))
    assert chain.content(chain.base, "raw") == chain.seen + bytes(2 << 20)


def test_a_commit_that_keeps_an_empty_overlay(chain: Chain) -> None:
    given = params(chain.top, commit=into(chain.low, keep=True))
    work(given)
    assert chain.names() == ["top", "low", "base.raw"]
    assert chain.content(chain.top) == chain.content(chain.low) == chain.seen
    assert kind(given) == "nothing"
    run("qemu-io", "-f", "qcow2", "-c", "write -P 9 0 64k", str(chain.top))
    assert kind(given) == "commit"


def test_what_an_interrupted_commit_left_goes(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    given = params(chain.top, commit=into(chain.base))

    def killed(paths: list[str]) -> None:
        Path(paths[0]).unlink()
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(disk_chain_commit, "remove_layers", killed)
        with pytest.raises(KeyboardInterrupt):
            work(given)
    assert kind(given) == "tidy"
    chain.low.write_bytes(b"somebody else's now")
    work(given)
    assert not chain.high.exists() and chain.low.exists()
    assert kind(given) == "nothing"


@pytest.mark.parametrize("given", [{"depth": 1}, {"depth": 1, "rewrite": True}, {"commit": True}])
def test_a_layer_that_is_replaced_meanwhile(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any]
) -> None:
    wanted = params(chain.top, **{**given, **({"commit": into(chain.base)} if "commit" in given else {})})

    def replaced(moment: str) -> None:
        if moment in ("chain:before-copy", "chain:before-rewrite", "chain:before-commit"):
            other = chain.folder / "other"
            other.write_bytes(chain.low.read_bytes())
            other.replace(chain.low)

    for module in (disk_chain_rest, disk_chain_commit):
        monkeypatch.setattr(module, "fault_point", replaced)
    with pytest.raises(Conflict, match=r"low was replaced or written to by somebody else"):
        work(wanted)
    assert chain.names() == ["top", "high", "low", "base.raw"]
    assert chain.content(chain.top) == chain.seen


def test_different_content_is_found_before_the_header_changes(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk_chain_rest.block_jobs, "copy_up", lambda *said, **more: None)
    with pytest.raises(EngineError, match="left as it was"):
        work(params(chain.top, depth=1, verify="deep"))
    assert chain.names() == ["top", "high", "low", "base.raw"]


def test_leaked_clusters_are_given_back(chain: Chain) -> None:
    with chain.top.open("r+b") as stream:
        stream.seek(65536 * 2 + 2 * 8)
        stream.write(b"\0\1")
    work(params(chain.top, depth=1))
    run("qemu-img", "check", "-q", "-f", "qcow2", str(chain.top))


REFUSALS: list[tuple[dict[str, Any], type[ImageOpsError], str]] = [
    ({}, InvalidOption, "none of them is given"),
    ({"depth": 1, "commit": {"into": "/x", "keep": False}}, InvalidOption, "depth and commit are given"),
    ({"depth": 2, "rewrite": True}, InvalidOption, "rewrite: has a meaning only"),
    ({"depth": 0}, InvalidOption, "depth: a chain of 0 files"),
    ({"depth": 1, "bandwidth": "fast"}, InvalidOption, "bandwidth"),
    ({"depth": 1, "timeout": -1}, InvalidOption, "timeout"),
    ({"depth": 1, "chain": ["low"]}, InvalidOption, "chain: 'low' is not an absolute path"),
    ({"commit": {"into": "low", "keep": False}}, InvalidOption, "commit.into: 'low' is not an absolute path"),
    ({"commit": {"into": "{top}", "keep": False}}, InvalidOption, "can't be committed into itself"),
    ({"commit": {"into": "{folder}/other", "keep": False}}, Conflict, "is not below"),
    ({"backing": on(Path("{top}"))}, InvalidOption, "its own backing file"),
    ({"backing": on(Path("{folder}/other"))}, InvalidOption, "say 'format: raw'"),
    ({"backing": on(Path("{folder}/none"))}, NotFound, "does not exist"),
    ({"backing": on(Path("{folder}/over"), chain=["{top}", "{folder}/high", "{folder}/low"])}, Conflict, "rests on"),
    ({"path": "{folder}/none", "depth": 1}, NotFound, "does not exist"),
    ({"path": "relative", "depth": 1}, InvalidOption, "absolute"),
    ({"path": "{folder}/none", "commit": {"into": "{folder}/low", "keep": False}}, NotFound, "has no record"),
    ({"path": "{folder}/base.raw", "depth": 1}, Unsupported, "only chains of qcow2"),
    ({"path": "{folder}/strange", "depth": 1}, UnsafeImage, "Name these files in 'chain'"),
    ({"path": "{folder}/snapped", "depth": 1}, Unsupported, "internal snapshots .one."),
]


def placed(value: Any, chain: Chain) -> Any:
    if isinstance(value, dict):
        return {key: placed(one, chain) for key, one in value.items()}
    if isinstance(value, list):
        return [placed(one, chain) for one in value]
    return value.format(top=chain.top, folder=chain.folder) if isinstance(value, str) else value


@pytest.mark.parametrize(("given", "error", "said"), REFUSALS)
def test_refusals_write_nothing(chain: Chain, given: dict[str, Any], error: type[ImageOpsError], said: str) -> None:
    (chain.folder / "other").write_bytes(b"\3" * 65536)
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(chain.top), "-F", "qcow2", f"{chain.folder}/over")
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(chain.base), "-F", "raw", f"{chain.folder}/strange")
    run("qemu-img", "create", "-q", "-f", "qcow2", f"{chain.folder}/snapped", "1M")
    run("qemu-img", "snapshot", "-c", "one", f"{chain.folder}/snapped")
    before = {path.name: path.stat().st_mtime_ns for path in chain.folder.iterdir() if path.is_file()}
    with pytest.raises(error, match=said):
        disk_chain.plan_chain({**params(chain.top), **placed(given, chain)}, Tools())
    assert before == {path.name: path.stat().st_mtime_ns for path in chain.folder.iterdir() if path.is_file()}


def test_a_recorded_format_is_not_contradicted(chain: Chain) -> None:
    chain.high.write_bytes(b"\1" * 65536)
    run("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", str(chain.high), "-F", "raw", str(chain.top))
    with pytest.raises(Conflict, match="qcow2"):
        decide(read_request(params(chain.top, backing=on(chain.high, format="qcow2"))))


def test_dirty_bitmaps_are_not_lost(chain: Chain, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(b"\1" * (1 << 20))
    run("qemu-img", "bitmap", "--add", "-f", "qcow2", str(chain.top), "nightly")
    with pytest.raises(Unsupported, match="nightly"):
        decide(read_request(params(chain.top, backing=on(other, format="raw"))))


def test_a_smaller_overlay_is_not_committed(chain: Chain) -> None:
    run("qemu-img", "resize", "-q", "--shrink", "-f", "qcow2", str(chain.top), "3M")
    with pytest.raises(Conflict, match="grow the overlay"):
        decide(read_request(params(chain.top, commit=into(chain.base))))


def test_others_on_the_chain(chain: Chain) -> None:
    run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(chain.low), "-F", "qcow2", f"{chain.folder}/other")
    with pytest.raises(InUse, match="other reads it as its backing file"):
        disk_chain.plan_chain(params(chain.top, commit=into(chain.base)), Tools())
    assert disk_chain.plan_chain(params(chain.top, commit=into(chain.high)), Tools()).changed
    assert disk_chain.plan_chain(params(chain.low, depth=1), Tools()).changed
    moved = params(chain.low, backing=on(chain.base, format="raw", unsafe=True, relative=True))
    assert disk_chain.plan_chain(moved, Tools()).changed


@pytest.mark.parametrize("name", ["base.raw", "low", "high", "top"])
@pytest.mark.parametrize("comes", ["made", "being made"])
def test_others_who_came_since_the_plan(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, name: str, comes: str, engines: list[str]
) -> None:
    monkeypatch.setattr(base_files, "_ALONE_SECONDS", 0.0)
    given, used = params(chain.top, commit=into(chain.base)), chain.folder / name
    bases = Bases(Clock())
    if comes == "made":
        format = "raw" if name == "base.raw" else "qcow2"
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(used), "-F", format, f"{chain.folder}/other")
    else:
        bases.keep(str(used))
    with pytest.raises(
        InUse, match="reads it as its backing file" if comes == "made" else "disks are being made from it"
    ):
        work(given)
    bases.close()
    assert engines == [] and chain.content(chain.top) == chain.seen


def test_nobody_begins_a_disk_on_what_is_committed(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base_files, "_KEEP_SECONDS", 0.0)

    def begin(moment: str) -> None:
        if moment == "chain:before-removal":
            for path in (chain.base, chain.low):
                with pytest.raises(InUse, match="being replaced by another task, or changed"):
                    Bases(Clock()).keep(str(path))

    monkeypatch.setattr(disk_chain_commit, "fault_point", begin)
    work(params(chain.top, commit=into(chain.base)))
    assert not chain.low.exists()


def test_what_disks_are_being_made_from_is_not_removed_as_unused(chain: Chain) -> None:
    work(params(chain.top, depth=2))
    plan = disk_chain.plan_chain(params(chain.top, depth=2, remove_unused=True), Tools())
    bases = Bases(Clock())
    bases.keep(str(chain.low))
    for step in plan.steps:
        step.run()
    bases.close()
    assert plan.observe()["removed"] == [str(chain.high)] and plan.observe()["unused"] == [str(chain.low)]


def test_an_open_image_is_left_alone(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Holders(writing=True, processes=("process 1 (qemu)",))
    monkeypatch.setattr(usage, "holders", lambda path: held if path == str(chain.top) else None)
    for given in (params(chain.top, depth=1), params(chain.top, commit=into(chain.base))):
        with pytest.raises(InUse, match="opened for writing by process 1"):
            disk_chain.plan_chain(given, Tools())


def test_planning_foretells_and_writes_nothing(chain: Chain, state_dir: Path) -> None:
    plan = disk_chain.plan_chain(params(chain.top, depth=2, remove_unused=True), Tools())
    assert [Path(layer["path"]).name for layer in plan.after["chain"]] == ["top", "base.raw"]
    assert plan.after["chain"][0]["allocated_size"] == KNOWN_AFTER
    assert [step.title.split(" ")[0] for step in plan.steps] == ["rest", "remove"]
    assert plan.foretell and plan.foretell()["unused"] == [str(chain.high), str(chain.low)]
    assert not state_dir.exists()


def test_an_image_is_named_once(chain: Chain) -> None:
    tools = Tools()
    disk_chain.plan_chain(params(chain.top, depth=2), tools)
    with pytest.raises(InvalidOption, match="named twice"):
        disk_chain.plan_chain(params(chain.top, depth=1), tools)


def test_items_that_write_the_same_file_are_refused(chain: Chain) -> None:
    """The job of one would be told as that of the other."""
    flat, committed = params(chain.low, depth=1), params(chain.top, commit=into(chain.low))
    for items, option in (([flat, committed], "commit.into"), ([committed, flat], "path")):
        tools = Tools()
        disk_chain.plan_chain(items[0], tools)
        with pytest.raises(InvalidOption, match=f"^{option}: {chain.low} is written by another item"):
            disk_chain.plan_chain(items[1], tools)
        assert disk_chain.job_of(flat, tools) == disk_chain.job_of(committed, tools)


def test_items_that_share_layers_are_planned_again(chain: Chain) -> None:
    tools = Tools()
    assert not disk_chain.plan_chain(params(chain.low, depth=1), tools).provisional
    assert disk_chain.plan_chain(params(chain.top, depth=1), tools).provisional


def test_what_is_unused_and_ours_goes_late_too(chain: Chain) -> None:
    work(params(chain.top, depth=2))
    Path(chain.folder / "stranger").write_bytes(b"x")
    given = params(chain.top, depth=2, remove_unused=True)
    plan = disk_chain.plan_chain(given, Tools())
    assert plan.changed
    for step in plan.steps:
        step.run()
    assert plan.observe()["removed"] == [str(chain.high), str(chain.low)]
    assert not chain.high.exists() and not chain.low.exists() and chain.base.exists()
    assert not disk_chain.plan_chain(given, Tools()).changed


def test_the_job_is_known_by_the_options_alone(chain: Chain) -> None:
    given = params(chain.top, commit=into(chain.base))
    request = read_request(given)
    job = disk_chain.job_of_request(request, "9", search_paths=[])
    assert job.target == str(chain.base) and job.id == disk_chain.job_of(given, Tools())
    assert job.params["request"] == asdict(request)
    assert not disk_chain.join_running(given, Tools())
    assert not disk_chain.join_running(params(chain.top), Tools())


def test_every_file_of_the_chain_is_locked(chain: Chain) -> None:
    other = chain.folder / "other"
    named = list(disk_chain.locks(params(chain.top, backing=on(other)), Tools()))
    assert named == [str(path) for path in (chain.top, chain.high, chain.low, chain.base, other)]
    assert list(disk_chain.locks(params(chain.top), Tools())) == []
