# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._commands import Commands
from ansible_collections.imageops.fleet.plugins.module_utils._errors import EngineError, InvalidOption
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import image as module
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import (
    Checked,
    Image,
    QemuImg,
    convert_arguments,
)
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.options import engine_arguments

MIB = 1 << 20
NAMES = ["a.img", "-rf", "nbd:a", "json:{}", "a,size=1G", "file:x", "with space", "ünï"]


class Recorder:
    """Takes the place of subprocess.run."""

    def __init__(self, returncode: int = 0, stdout: str = "") -> None:
        self.returncode, self.stdout = returncode, stdout
        self.seen: list[list[str]] = []

    def __call__(self, argv: list[str], **kwargs: Any) -> Any:
        self.seen.append(argv)
        return subprocess.CompletedProcess(argv, self.returncode, self.stdout, "")


@pytest.fixture
def qemu() -> QemuImg:
    return QemuImg(Commands())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("format", ["raw", "qcow2"])
def test_every_name_is_a_file_and_nothing_else(tmp_path: Path, qemu: QemuImg, name: str, format: str) -> None:
    image = Image(str(tmp_path / name), format)
    qemu.create(image, size=MIB)
    qemu.resize(image, size=2 * MIB)
    copy = Image(str(tmp_path / (name + ".copy")), "raw")
    Commands().output(convert_arguments(image, copy))
    overlay = Image(str(tmp_path / (name + ".overlay")), "qcow2")
    qemu.create(overlay, size=2 * MIB, backing=image)
    assert qemu.compare(image, copy) and qemu.compare(overlay, copy)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, name + ".copy", name + ".overlay"])


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(InvalidOption, match="absolute"):
        Image("nbd:x", "raw")


def test_every_format_is_made(tmp_path: Path, qemu: QemuImg) -> None:
    for format in ("raw", "qcow2", "vmdk", "vhd", "vhdx", "vdi"):
        image = Image(str(tmp_path / format), format)
        qemu.create(image, size=8 * MIB, options=engine_arguments(format, {}))
        assert qemu.check(image) == Checked(format not in ("raw", "vhd"))


def test_different_content_is_told(tmp_path: Path, qemu: QemuImg) -> None:
    one, other = Image(str(tmp_path / "1"), "raw"), Image(str(tmp_path / "2"), "raw")
    Path(one.path).write_bytes(b"a" * 4096)
    Path(other.path).write_bytes(b"b" * 4096)
    assert not qemu.compare(one, other)


def test_the_data_of_a_compressed_image_and_of_what_lies_below_it(tmp_path: Path, qemu: QemuImg) -> None:
    plain, base = Image(str(tmp_path / "plain"), "raw"), Image(str(tmp_path / "base"), "qcow2")
    Path(plain.path).write_bytes(b"a" * 8 * MIB)
    Commands().output(convert_arguments(plain, base, compressed=True))
    overlay = Image(str(tmp_path / "a,b"), "qcow2")
    qemu.create(overlay, size=64 * MIB, backing=base)
    assert Path(base.path).stat().st_size < MIB
    assert 8 * MIB <= qemu.data_size(overlay) < 9 * MIB


@pytest.mark.parametrize(("rc", "found"), [(2, Checked(True, corrupt=True)), (3, Checked(True, leaks=True))])
def test_damage_is_told(rc: int, found: Checked) -> None:
    assert QemuImg(Commands(Recorder(rc))).check(Image("/x", "qcow2")) == found


@pytest.mark.parametrize("act", ["check", "compare"])
def test_a_crash_is_an_error(act: str) -> None:
    qemu, image = QemuImg(Commands(Recorder(-11))), Image("/x", "qcow2")
    with pytest.raises(EngineError, match="SIGSEGV"):
        qemu.check(image) if act == "check" else qemu.compare(image, image)


def test_the_arguments_of_an_overlay() -> None:
    recorder = Recorder()
    QemuImg(Commands(recorder)).create(Image("/o", "qcow2"), size=512, backing=Image("/b,c", "vpc"))
    assert recorder.seen == [
        ["qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/b,c", "-F", "vpc", "/o", "512"],
    ]


@pytest.mark.parametrize(("direct", "cache"), [(True, "none"), (False, "writeback")])
def test_a_conversion_is_durable(monkeypatch: pytest.MonkeyPatch, direct: bool, cache: str) -> None:
    monkeypatch.setattr(module, "takes_direct_io", lambda folder: direct)
    argv = convert_arguments(
        Image("/a", "vhd"), Image("/b", "qcow2"), options=["-o", "compat=1.1"], compressed=True, rate_limit=1000
    )
    assert argv == [
        "qemu-img", "convert", "-p", "-t", cache, "-m", "16", "-W", "-r", "1000", "-c",
        "-f", "vpc", "-O", "qcow2", "-o", "compat=1.1", "/a", "/b",
    ]  # fmt: skip


@pytest.mark.parametrize("driver", ["vmdk", "vdi"])
def test_tables_that_are_written_entry_by_entry_go_through_the_page_cache(
    monkeypatch: pytest.MonkeyPatch, driver: str
) -> None:
    monkeypatch.setattr(module, "takes_direct_io", lambda folder: True)
    monkeypatch.setattr(module, "is_block_device", lambda path: path == "/dev/x")
    for path, cache in (("/b", "writeback"), ("/dev/x", "none")):
        argv = convert_arguments(Image("/a", "raw"), Image(path, driver))
        assert argv[argv.index("-t") + 1] == cache


def test_asking_for_direct_io_leaves_nothing_behind(tmp_path: Path) -> None:
    module.takes_direct_io(str(tmp_path))
    assert not list(tmp_path.iterdir())
    assert module.takes_direct_io(str(tmp_path / "missing")) is False


@pytest.mark.parametrize(
    ("said", "version"),
    [("qemu-img version 7.2.22 (Debian 1:7.2+dfsg-7)\n", (7, 2, 22)), ("qemu-img version 10.0.13 (x)", (10, 0, 13))],
)
def test_version(said: str, version: tuple[int, ...]) -> None:
    assert QemuImg(Commands(Recorder(stdout=said))).version() == version


def test_a_version_that_is_no_version() -> None:
    with pytest.raises(EngineError):
        QemuImg(Commands(Recorder(stdout="?"))).version()
