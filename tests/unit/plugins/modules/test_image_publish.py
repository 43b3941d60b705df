# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.tags import version_tags
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_publish_sources
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.publish_params import bytes_of_image
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module


class Publisher:
    """One disk, and what publishes it."""

    def __init__(self, folder: Path) -> None:
        self.catalog = folder / "catalog"
        self.disk = folder / "disk"
        self.disk.write_bytes(random.Random(1).randbytes(20 * BLOCK_SIZE))

    def __call__(self, *, check: bool = False, tag: str = "1", **options: Any) -> dict[str, Any]:
        disks = [{"path": str(self.disk), "format": "raw"}]
        asked = {"image": f"dir:{self.catalog}:{tag}", "disks": disks, **options}
        return run_module("image_publish", asked, check=check, diff=True)

    @property
    def tags(self) -> dict[str, str]:
        return version_tags(LayoutStore(str(self.catalog)).tags())


@pytest.fixture
def publisher(tmp_path: Path, state_dir: Path) -> Publisher:
    return Publisher(tmp_path)


def test_check_mode_foresees_and_makes_nothing(publisher: Publisher) -> None:
    result = publisher(check=True)
    assert result["changed"] and result["images"][0]["digest"] == "(known after apply)"
    assert not publisher.catalog.exists()


def test_an_image_is_published_once(publisher: Publisher) -> None:
    first = publisher(aliases=["stable"])
    image = first["images"][0]
    assert first["changed"] and publisher.tags == {"1": image["digest"], "stable": image["digest"]}
    assert (image["disks"][0]["size"], image["disks"][0]["blocks"]) == (20 * BLOCK_SIZE, 20)
    assert image["job"]["new_blocks"] == 20
    assert bytes_of_image(publisher.catalog) == publisher.disk.read_bytes()
    again = publisher(aliases=["stable"])
    assert not again["changed"] and "job" not in again["images"][0]
    assert {**image, "job": None, "steps": [], "changed": False} == {**again["images"][0], "job": None}


def test_what_was_published_is_not_read_again(publisher: Publisher, monkeypatch: pytest.MonkeyPatch) -> None:
    publisher()
    monkeypatch.setattr(image_publish_sources, "opened", None)
    assert not publisher()["changed"]
    # Only the name is missing.
    named = publisher(tags=["also"])
    assert named["changed"] and publisher.tags["also"] == publisher.tags["1"]
    assert "give" in named["images"][0]["steps"][0]


def test_a_file_that_was_touched_is_read_and_found_equal(publisher: Publisher) -> None:
    publisher()
    os.utime(publisher.disk)
    again = publisher()
    assert not again["changed"] and again["images"][0]["job"]["changed"] is False
    assert "job" not in publisher()["images"][0]


def test_other_content_under_the_same_tag_is_refused(publisher: Publisher) -> None:
    digest = publisher()["images"][0]["digest"]
    with publisher.disk.open("r+b") as stream:
        stream.write(b"other")
    refused = publisher()
    assert refused["failed"] and "move_tag: true" in refused["msg"] and digest in refused["msg"]
    moved = publisher(move_tag=True)
    assert moved["changed"] and digest in moved["diff"][0]["before"]
    assert moved["images"][0]["job"]["new_blocks"] == 1


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"disks": None}, "either disks or vm"),
        ({"vm": "web"}, "either disks or vm"),
        ({"quiesce": True}, "quiesce: only a running VM"),
        ({"compression_level": 0}, "compression_level: 0"),
        ({"image": "dir:/x"}, "needs a tag"),
        ({"image": "dir:/x:imageops-aliases"}, "for itself"),
        ({"tags": ["a b"]}, "tags: "),
        ({"tags": [""]}, "tags: an empty text is no tag"),
        ({"aliases": ["stable", ""]}, "aliases: an empty text is no tag"),
        ({"base": [""]}, "base: an empty text is no version"),
        ({"labels": {"a": "b", "team": None}}, "labels: 'team' has no value"),
        ({"tags": ["1"]}, "tags: '1' is the image's own tag"),
        ({"tags": ["a"], "aliases": ["a"]}, "in both tags and aliases"),
        ({"layout": "containerdisk", "os": {"id": "debian"}}, "layout: a containerDisk"),
        ({"timeout": -1}, "timeout: -1"),
        ({"image": "dir:/no/such/folder:1"}, "/no/such"),
        ({"image": "https://127.0.0.1:1/x:1"}, "can only be read"),
    ],
)
def test_what_makes_no_sense_is_refused(publisher: Publisher, options: dict[str, Any], says: str) -> None:
    result = publisher(**options)
    assert result["failed"] and says in result["msg"]
    assert not publisher.catalog.exists()


def test_names_of_disks_are_unique(publisher: Publisher) -> None:
    disk = {"path": str(publisher.disk), "format": "raw", "name": "a"}
    assert "given twice" in publisher(disks=[disk, disk])["msg"]
    result = publisher(disks=[disk, {**disk, "name": "b"}])
    assert [one["name"] for one in result["images"][0]["disks"]] == ["a", "b"]


def test_two_items_have_two_tags(publisher: Publisher) -> None:
    disks = [{"path": str(publisher.disk), "format": "raw"}]
    images = [{"image": f"dir:{publisher.catalog}:{tag}", "disks": disks} for tag in ("1", "2")]
    assert run_module("image_publish", {"images": images})["changed"]
    assert set(publisher.tags) == {"1", "2"}


@pytest.mark.parametrize(
    ("first", "second", "named"),
    [
        ({"image": "1"}, {"image": "1"}, "image: dir:{}:1"),
        ({"image": "1", "tags": ["2"]}, {"image": "2"}, "image: dir:{}:2"),
        ({"image": "1"}, {"image": "2", "tags": ["1"]}, "tags: dir:{}:1"),
        ({"image": "1", "tags": ["latest"]}, {"image": "2", "tags": ["latest"]}, "tags: dir:{}:latest"),
        ({"image": "1", "aliases": ["stable"]}, {"image": "2", "aliases": ["stable"]}, "aliases: dir:{}:stable"),
        ({"image": "1", "tags": ["new"]}, {"image": "2", "aliases": ["new"]}, "aliases: dir:{}:new"),
    ],
)
def test_a_name_that_two_items_would_give(
    publisher: Publisher, first: dict[str, Any], second: dict[str, Any], named: str
) -> None:
    common = {"disks": [{"path": str(publisher.disk), "format": "raw"}]}
    images = [{**common, **item, "image": f"dir:{publisher.catalog}:{item['image']}"} for item in (first, second)]
    result = run_module("image_publish", {"images": images})
    assert result["failed"] and f"{named.format(publisher.catalog)} is named twice in the list" in result["msg"]
    assert not publisher.catalog.exists()


def test_each_catalog_has_its_names(publisher: Publisher, tmp_path: Path) -> None:
    disks = [{"path": str(publisher.disk), "format": "raw"}]
    images = [{"image": f"dir:{tmp_path}/{name}:1", "disks": disks, "aliases": ["stable"]} for name in ("a", "b")]
    assert run_module("image_publish", {"images": images})["changed"]


def test_a_version_that_lost_a_pack_is_published_again(publisher: Publisher) -> None:
    first = publisher()
    pack = max((publisher.catalog / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    pack.unlink()
    mended = publisher()
    assert mended["changed"] and mended["images"][0]["digest"] == first["images"][0]["digest"]
    assert bytes_of_image(publisher.catalog) == publisher.disk.read_bytes()
    assert not publisher()["changed"]
