# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound, UnsafeImage
from ansible_collections.imageops.fleet.plugins.module_utils._formats import chain as module
from ansible_collections.imageops.fleet.plugins.module_utils._formats.chain import follows, inspect_chain, open_image
from ansible_collections.imageops.fleet.tests.unit.plugins.module_utils._formats.images import (
    create,
    patch,
    qemu_img,
    rules,
)


def overlay(path: Path, name: str, base: str = "qcow2") -> Path:
    """An overlay over a name that need not exist."""
    qemu_img("create", "-q", "-u", "-f", "qcow2", "-b", name, "-F", base, str(path), "1M")
    return path


def test_a_chain_is_followed_with_the_recorded_formats(tmp_path: Path) -> None:
    create(tmp_path / "base.raw", "raw", "1M")
    overlay(tmp_path / "mid.qcow2", "base.raw", "raw")
    top = overlay(tmp_path / "top.qcow2", str(tmp_path / "mid.qcow2"))
    links = inspect_chain(str(top))
    assert [(Path(link.path).name, link.facts.format) for link in links] == [
        ("top.qcow2", "qcow2"),
        ("mid.qcow2", "qcow2"),
        ("base.raw", "raw"),
    ]
    assert links[0].file_size == top.stat().st_size and links[0].allocated_size == top.stat().st_blocks * 512


def test_relative_names_start_at_the_folder_of_the_overlay_as_named(tmp_path: Path) -> None:
    """QEMU does not resolve links of the overlay before it joins the names."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    create(tmp_path / "b" / "base.qcow2", "qcow2", "1M")
    overlay(tmp_path / "a" / "top.qcow2", "base.qcow2")
    (tmp_path / "b" / "link.qcow2").symlink_to(tmp_path / "a" / "top.qcow2")
    assert len(inspect_chain(str(tmp_path / "b" / "link.qcow2"))) == 2
    assert "backing-missing" in rules(inspect_chain(str(tmp_path / "a" / "top.qcow2"))[0].facts)


def test_a_layer_that_contradicts_its_recorded_format_is_told(tmp_path: Path) -> None:
    create(tmp_path / "base.qcow2", "qcow2", "1M")
    links = inspect_chain(str(overlay(tmp_path / "top.qcow2", "base.qcow2", "raw")))
    assert rules(links[1].facts) == {"second-signature"}


@pytest.mark.parametrize(
    "name", ["json:{}", "nbd://host/x", "https://host/x", "nbd:unix:/x", "fat:/etc", "file:/etc/shadow"]
)
def test_protocols_are_never_followed(tmp_path: Path, name: str) -> None:
    path = overlay(tmp_path / "top.qcow2", "x" * len(name))
    data = path.read_bytes()
    path.write_bytes(data.replace(b"x" * len(name), name.encode(), 1))
    links = inspect_chain(str(path))
    assert (len(links), rules(links[0].facts)) == (1, {"backing-file", "backing-protocol"})


@pytest.mark.parametrize(("name", "plain"), [("a", True), ("/a:b", True), ("./a:b", True), ("a:b", False), ("", False)])
def test_what_is_a_plain_path(name: str, plain: bool) -> None:
    assert follows(name) is plain


def test_a_recorded_driver_that_is_no_format_is_not_followed(tmp_path: Path) -> None:
    create(tmp_path / "base.raw", "raw", "1M")
    path = overlay(tmp_path / "top.qcow2", "base.raw", "raw")
    path.write_bytes(path.read_bytes().replace(b"\xe2\x79\x2a\xca\0\0\0\3raw", b"\xe2\x79\x2a\xca\0\0\0\3nbd", 1))
    links = inspect_chain(str(path))
    assert (len(links), rules(links[0].facts)) == (1, {"backing-file", "backing-format-unknown"})


@pytest.mark.parametrize("length", [1, 2, 3])
def test_loops_end(tmp_path: Path, length: int) -> None:
    for number in range(length):
        overlay(tmp_path / f"{number}.qcow2", f"{(number + 1) % length}.qcow2")
    links = inspect_chain(str(tmp_path / "0.qcow2"))
    assert len(links) == length and "chain-loop" in rules(links[-1].facts)


def test_a_loop_through_a_hard_link_ends(tmp_path: Path) -> None:
    overlay(tmp_path / "a.qcow2", "b.qcow2")
    os.link(tmp_path / "a.qcow2", tmp_path / "b.qcow2")
    assert "chain-loop" in rules(inspect_chain(str(tmp_path / "a.qcow2"))[0].facts)


def test_depth_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DEPTH", 5)
    for number in range(7):
        overlay(tmp_path / f"{number}.qcow2", f"{number + 1}.qcow2")
    links = inspect_chain(str(tmp_path / "0.qcow2"))
    assert len(links) == 5 and "chain-depth" in rules(links[-1].facts)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="nothing.qcow2 does not exist"):
        inspect_chain(str(tmp_path / "nothing.qcow2"))


@pytest.mark.parametrize("kind", ["fifo", "folder", "/dev/zero", "socket-like name\0"])
def test_nothing_but_files_is_opened(tmp_path: Path, kind: str) -> None:
    path = kind if kind.startswith("/") else str(tmp_path / kind)
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        os.mkdir(path)
    with pytest.raises(UnsafeImage), open_image(path):
        pass


def test_a_fifo_below_an_overlay_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    links = inspect_chain(str(overlay(tmp_path / "top.qcow2", "fifo", "raw")))
    assert rules(links[0].facts) == {"backing-file", "not-a-file"}


def test_the_descriptor_is_checked_again_after_opening(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between stat and open the name may change; what was opened decides."""
    os.mkfifo(tmp_path / "a")
    file = create(tmp_path / "file", "raw", "1M")
    known, real = os.stat(file), os.stat
    monkeypatch.setattr(
        os, "stat", lambda path, **more: known if str(path) == str(tmp_path / "a") else real(path, **more)
    )
    with pytest.raises(UnsafeImage), open_image(str(tmp_path / "a")):
        pass
    assert stat.S_ISREG(known.st_mode)


def test_layers_are_judged_with_their_own_findings(tmp_path: Path) -> None:
    base = create(tmp_path / "base.qcow2", "qcow2", "1M")
    patch(base, 72, ">Q", 2)
    assert rules(inspect_chain(str(overlay(tmp_path / "top.qcow2", "base.qcow2")))[1].facts) == {"corrupt"}
