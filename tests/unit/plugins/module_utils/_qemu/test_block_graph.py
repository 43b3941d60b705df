# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._qemu import block_graph
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.block_graph import chain_nodes, layer, pseudo_name
from ansible_collections.imageops.fleet.plugins.module_utils._qemu.image import Image


def chain_of(tmp_path: Path) -> list[Image]:
    return [
        Image(str(tmp_path / "top"), "qcow2"),
        Image(str(tmp_path / "mid"), "vhd"),
        Image(str(tmp_path / "base"), "raw"),
    ]


def test_every_node_names_its_driver_and_file(tmp_path: Path) -> None:
    nodes = chain_nodes(chain_of(tmp_path))
    assert [(node["node-name"], node["driver"]) for node in nodes] == [
        ("layer2", "raw"),
        ("layer1", "vpc"),
        ("layer0", "qcow2"),
    ]
    assert [(node["file"]["driver"], node["file"]["filename"]) for node in nodes] == [
        ("file", str(tmp_path / name)) for name in ("base", "mid", "top")
    ]


def test_nothing_falls_back_and_only_what_is_said_is_written(tmp_path: Path) -> None:
    nodes = chain_nodes(chain_of(tmp_path), writable={0})
    for node in nodes:
        assert node["auto-read-only"] is node["file"]["auto-read-only"] is False
        assert node["read-only"] is node["file"]["read-only"] is (node["node-name"] != layer(0))
        assert node["discard"] == "unmap"
    assert [node.get("detect-zeroes") for node in nodes] == [None, None, "unmap"]
    assert not nodes[0]["file"]["cache"]["direct"]


def test_backing_is_always_given_where_there_may_be_one(tmp_path: Path) -> None:
    base, middle, top = chain_nodes(chain_of(tmp_path))
    assert top["backing"] == "layer1"
    assert "backing" not in middle and "backing" not in base
    (alone,) = chain_nodes([Image(str(tmp_path / "top"), "qcow2")])
    assert alone["backing"] is None


def test_a_chain_as_a_name_follows_no_header(tmp_path: Path) -> None:
    top, _middle, base = chain_of(tmp_path)
    name = pseudo_name([top, base])
    assert name.startswith("json:")
    assert json.loads(name[5:]) == {
        "driver": "qcow2",
        "file": {"driver": "file", "filename": top.path},
        "backing": {"driver": "raw", "file": {"driver": "file", "filename": base.path}},
    }
    assert json.loads(pseudo_name([top])[5:])["backing"] is None


def test_block_devices_have_a_driver_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    top, _middle, base = chain_of(tmp_path)
    monkeypatch.setattr(block_graph, "is_block_device", lambda path: path == base.path)
    named = json.loads(pseudo_name([top, base])[5:])
    assert (named["file"]["driver"], named["backing"]["file"]["driver"]) == ("file", "host_device")
    below, above = chain_nodes([top, base], writable={1})
    assert (below["file"]["driver"], above["file"]["driver"]) == ("host_device", "file")
    assert below["file"]["cache"] == {"direct": True}
