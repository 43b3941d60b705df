# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import (
    MOST_MANIFEST,
    DiskEntry,
    ImageConfig,
    ImageManifest,
    SegmentEntry,
    config_descriptor,
    is_image,
    load_manifest,
    read_config,
    read_manifest,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import BLOCK_INDEX, PACK
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import SEGMENT_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._errors import TransferError, Unsupported

D = digest_of(b"x")
CONFIG = ImageConfig(
    (DiskEntry("vda", 2 * SEGMENT_SIZE, D, (SegmentEntry(0, D, 0, 60, 3), SegmentEntry(1, D, 60, 60, 2))),),
    created="2026-11-28T16:00:00Z",
    labels={"team": "web"},
)
MANIFEST = ImageManifest(
    config_descriptor(CONFIG.as_bytes()),
    Descriptor(BLOCK_INDEX, D, 120),
    (Descriptor(PACK, D, 1000),),
    {"org.opencontainers.image.created": "2026-11-28T16:00:00Z"},
)


def test_what_is_written_is_read() -> None:
    assert read_config(CONFIG.as_bytes(), where="x") == CONFIG
    assert read_manifest(MANIFEST.as_bytes(), where="x") == MANIFEST
    assert is_image(load_manifest(MANIFEST.as_bytes(), where="x"))
    assert CONFIG.disks[0].blocks == 5
    assert CONFIG.disk("vda") is CONFIG.disks[0] and CONFIG.disk("vdb") is None
    assert MANIFEST.pack(D) is MANIFEST.packs[0] and MANIFEST.pack(digest_of(b"y")) is None


def test_other_tools_find_an_image_configuration() -> None:
    told = json.loads(CONFIG.as_bytes())
    assert told["rootfs"] == {"type": "layers", "diff_ids": []}
    assert (told["architecture"], told["os"]) == ("unknown", "unknown")
    assert (told["created"], told["config"]) == (CONFIG.created, {"Labels": {"team": "web"}})
    assert "created" not in json.loads(ImageConfig(CONFIG.disks).as_bytes())
    for other in (b"{}", changed(CONFIG.as_bytes(), {"imageops": []})):
        with pytest.raises((TransferError, Unsupported), match="^x: "):
            read_config(other, where="x")


def changed(data: bytes, change: dict[str, Any]) -> bytes:
    return json.dumps({**json.loads(data), **change}).encode()


def described(change: dict[str, Any]) -> bytes:
    """The configuration with another description of ours in it."""
    data = CONFIG.as_bytes()
    return changed(data, {"imageops": {**json.loads(data)["imageops"], **change}})


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"[" * 100_000,
        b" " * (MOST_MANIFEST + 1),
        changed(MANIFEST.as_bytes(), {"schemaVersion": 1}),
        changed(MANIFEST.as_bytes(), {"layers": []}),
        changed(MANIFEST.as_bytes(), {"layers": [1]}),
        changed(MANIFEST.as_bytes(), {"layers": [{"mediaType": PACK, "digest": "sha256:../../etc", "size": 1}]}),
        changed(MANIFEST.as_bytes(), {"layers": [{"mediaType": PACK, "digest": D, "size": -1}]}),
    ],
)
def test_manifests_that_are_none(data: bytes) -> None:
    with pytest.raises(TransferError, match="^x: "):
        read_manifest(data, where="x")


def test_other_peoples_manifests() -> None:
    other = changed(MANIFEST.as_bytes(), {"artifactType": "application/x"})
    with pytest.raises(Unsupported, match="no image that imageops.fleet published"):
        read_manifest(other, where="x")
    foreign = changed(MANIFEST.as_bytes(), {"layers": [{"mediaType": "application/x", "digest": D, "size": 1}]})
    with pytest.raises(Unsupported, match="newer"):
        read_manifest(foreign, where="x")


@pytest.mark.parametrize(
    "change",
    [
        {"disks": []},
        {"disks": [1]},
        {"disks": [{"name": "a/b", "size": 1, "content": D, "segments": []}]},
        {"disks": [{"name": "a", "size": True, "content": D, "segments": []}]},
        {"disks": [{"name": "a", "size": 1, "content": "x", "segments": []}]},
        {"disks": [{"name": "a", "size": 1, "content": D}]},
        {"disks": [{"name": "a", "size": 1, "content": D, "segments": []}] * 2},
        {"disks": [{"name": "a", "size": 1, "content": D, "segments": [{"digest": D, "number": 0}]}]},
        {
            "disks": [
                {
                    "name": "a",
                    "size": 1,
                    "content": D,
                    "segments": [{"digest": D, "number": 1, "offset": 0, "length": 1, "blocks": 1}],
                }
            ]
        },
        {"vm": []},
        {"disks": [{"name": "a\nb", "size": 1, "content": D, "segments": []}]},
        {"disks": [{"name": "a", "size": 1, "content": D, "segments": [], "options": []}]},
        {"os": {"name": "half a character: \ud800"}},
        {"vm": json.loads("[" * 40 + "]" * 40)},
        {"vm": {"deep": json.loads("[" * 40 + "]" * 40)}},
    ],
)
def test_configurations_that_are_none(change: dict[str, Any]) -> None:
    with pytest.raises(TransferError, match="^x: "):
        read_config(described(change), where="x")


@pytest.mark.parametrize("change", [{"schema": 2}, {"block_size": 4096}])
def test_a_newer_schema_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="newer"):
        read_config(described(change), where="x")


def test_long_texts_of_publishers_are_cut() -> None:
    config = read_config(described({"tool": "t" * 1000, "created": "c" * 1000}), where="x")
    assert (len(config.tool), len(config.created)) == (255, 255)
    with pytest.raises(Unsupported) as caught:
        read_config(described({"schema": "s" * 100_000}), where="x")
    assert len(str(caught.value)) < 600


def test_other_scripts_are_told_as_they_are() -> None:
    for data in (
        described({"labels": {"team": "Ωмега 🐧"}}),
        CONFIG.as_bytes().replace(b"web", "Ωмега 🐧".encode()),
    ):
        assert read_config(data, where="x").labels == {"team": "Ωмега 🐧"}


def test_a_configuration_that_would_take_the_memory_of_a_host_is_refused() -> None:
    with pytest.raises(TransferError):
        read_config(CONFIG.as_bytes().ljust((16 << 20) + 1), where="x")
    assert read_config(CONFIG.as_bytes().ljust(16 << 20), where="x") == CONFIG
