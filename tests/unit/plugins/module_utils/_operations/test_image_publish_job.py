# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog import packs
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import MOST_PACKS
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.packs import PACK_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.segment import BLOCK_SIZE
from ansible_collections.imageops.fleet.plugins.module_utils._errors import Conflict, ImageOpsError
from ansible_collections.imageops.fleet.plugins.module_utils._files import state_dir
from ansible_collections.imageops.fleet.plugins.module_utils._operations import (
    image_publish_job,
    image_publish_packer,
    image_publish_sources,
    image_publish_tags,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_alias_state import (
    change_aliases,
    read_aliases,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_publish_journal import PublishJournal
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.publish_params import bytes_of_image, publish, published

BLOCKS = 100


def write(path: Path, *, seed: int = 0, changed: tuple[int, ...] = (), blocks: int = BLOCKS) -> Path:
    """A raw disk of noise with a hole in its midst; blocks `changed` are other ones than without."""
    with path.open("wb") as stream:
        for number in [*range(blocks // 2 - 10), *range(blocks // 2, blocks)]:
            stream.seek(number * BLOCK_SIZE)
            stream.write(random.Random(number * 1000 + (seed if number in changed else 0)).randbytes(BLOCK_SIZE))
    return path


@pytest.fixture
def catalog(tmp_path: Path, state_dir: Path) -> Path:
    return tmp_path / "catalog"


def packs_of(catalog: Path, tag: str = "1") -> list[str]:
    return [pack.digest for pack in load_image(LayoutStore(str(catalog)), tag).manifest.packs]


def test_an_image_holds_what_was_published(catalog: Path, tmp_path: Path) -> None:
    disk = write(tmp_path / "disk")
    with disk.open("ab") as stream:
        stream.write(b"the last block isn't full".ljust(512))
    told = publish(catalog, disk, labels={"a": "b"}, os={"id": "debian"}, tags=["latest"], aliases=["stable"])
    assert bytes_of_image(catalog) == disk.read_bytes()
    assert told["changed"] and told["new_blocks"] == BLOCKS - 9 and told["packs"] == 1
    config, tags = published(catalog), LayoutStore(str(catalog)).tags()
    assert (config.labels, config.os) == ({"a": "b"}, {"id": "debian"})
    assert config.provenance["sources"] == [{"disk": "vda", "file": "disk", "format": "raw"}]
    assert tags["1"] == tags["latest"] == tags["stable"] == told["digest"]
    assert read_aliases(LayoutStore(str(catalog))).past("stable")[-1].version == "1"
    # The disk's folder is nobody's business.
    assert str(tmp_path) not in config.as_bytes().decode()


def test_equal_blocks_are_kept_once(catalog: Path, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.write_bytes(random.Random(1).randbytes(BLOCK_SIZE) * 40)
    told = publish(catalog, disk, disk)
    assert (told["new_blocks"], told["reused_blocks"]) == (1, 79)
    assert bytes_of_image(catalog, "vdb") == disk.read_bytes()


def test_a_new_version_sends_what_changed(catalog: Path, tmp_path: Path) -> None:
    publish(catalog, write(tmp_path / "disk"))
    told = publish(catalog, write(tmp_path / "disk", seed=1, changed=(3, 70)), tag="2")
    assert (told["new_blocks"], told["reused_blocks"], told["packs"]) == (2, BLOCKS - 12, 2)
    assert told["uploaded_bytes"] < 3 * BLOCK_SIZE
    assert bytes_of_image(catalog, tag="2") == (tmp_path / "disk").read_bytes()


def test_a_pack_of_which_little_is_left_is_not_kept(catalog: Path, tmp_path: Path) -> None:
    publish(catalog, write(tmp_path / "disk"))
    told = publish(catalog, write(tmp_path / "disk", seed=1, changed=tuple(range(60))), tag="2")
    assert (told["repacked_blocks"], told["packs"]) == (40, 1)
    assert bytes_of_image(catalog, tag="2") == (tmp_path / "disk").read_bytes()
    assert not set(packs_of(catalog)) & set(packs_of(catalog, "2"))


def test_a_pack_that_was_lost_is_sent_again(catalog: Path, tmp_path: Path) -> None:
    publish(catalog, write(tmp_path / "disk"))
    os.unlink(catalog / "blobs" / "sha256" / packs_of(catalog)[0].partition(":")[2])
    publish(catalog, tmp_path / "disk", tag="2")
    assert bytes_of_image(catalog, tag="2") == (tmp_path / "disk").read_bytes()


@pytest.mark.parametrize("lost", ["all", "half"])
def test_a_version_that_lost_a_pack_is_mended_under_its_own_name(catalog: Path, tmp_path: Path, lost: str) -> None:
    """It is what the error of a pull says: nothing else brings the version back."""
    first = publish(catalog, write(tmp_path / "disk"))
    pack = catalog / "blobs" / "sha256" / packs_of(catalog)[0].partition(":")[2]
    if lost == "all":
        pack.unlink()
    else:
        os.truncate(pack, 1000)
    told = publish(catalog, tmp_path / "disk")
    assert told["changed"] and told["repacked_blocks"] == BLOCKS - 10
    assert bytes_of_image(catalog) == (tmp_path / "disk").read_bytes()
    assert publish(catalog, tmp_path / "disk")["changed"] is False
    assert LayoutStore(str(catalog)).tags() == {"1": told["digest"]} and told["digest"] == first["digest"]


def lose_index(catalog: Path, tag: str = "1") -> None:
    index = load_image(LayoutStore(str(catalog)), tag).manifest.index
    (catalog / "blobs" / "sha256" / index.digest.partition(":")[2]).unlink()
    shutil.rmtree(state_dir("segments"))


def test_a_version_that_lost_its_index_lends_no_blocks(catalog: Path, tmp_path: Path) -> None:
    publish(catalog, write(tmp_path / "disk"))
    publish(catalog, write(tmp_path / "disk", seed=1, changed=(3,)), tag="2")
    lose_index(catalog)
    told = publish(catalog, write(tmp_path / "disk", seed=2, changed=(3,)), tag="3")
    assert told["changed"] and (told["new_blocks"], told["reused_blocks"]) == (1, BLOCKS - 11)
    assert len(told["warnings"]) == 1 and "blocks of 1 can't be used again" in told["warnings"][0]
    assert bytes_of_image(catalog, tag="3") == (tmp_path / "disk").read_bytes()


def test_a_version_that_lost_its_index_is_mended_under_its_own_name(catalog: Path, tmp_path: Path) -> None:
    first = publish(catalog, write(tmp_path / "disk"))
    lose_index(catalog)
    told = publish(catalog, tmp_path / "disk")
    assert told["changed"] and told["digest"] == first["digest"] and "warnings" not in told
    assert bytes_of_image(catalog) == (tmp_path / "disk").read_bytes()
    assert publish(catalog, tmp_path / "disk")["changed"] is False


def test_a_version_that_lost_its_index_stays_what_it_is(catalog: Path, tmp_path: Path) -> None:
    publish(catalog, write(tmp_path / "disk"))
    lose_index(catalog)
    blobs = sorted((catalog / "blobs" / "sha256").iterdir())
    with pytest.raises(Conflict, match="move_tag: true"):
        publish(catalog, write(tmp_path / "disk", seed=1, changed=(50,)))
    assert sorted((catalog / "blobs" / "sha256").iterdir()) == blobs
    assert publish(catalog, tmp_path / "disk", move_tag=True)["changed"]
    assert bytes_of_image(catalog) == (tmp_path / "disk").read_bytes()


def test_a_container_disk_that_lost_its_layer_is_mended(catalog: Path, tmp_path: Path) -> None:
    first = publish(catalog, write(tmp_path / "disk"), layout="containerdisk")
    layer = max((catalog / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    layer.unlink()
    told = publish(catalog, tmp_path / "disk", layout="containerdisk")
    assert told["changed"] and told["digest"] == first["digest"] and layer.exists()
    assert publish(catalog, tmp_path / "disk", layout="containerdisk")["changed"] is False


def test_the_same_content_is_no_change(catalog: Path, tmp_path: Path) -> None:
    first = publish(catalog, write(tmp_path / "disk"))
    for move in (False, True):
        told = publish(catalog, write(tmp_path / "disk"), move_tag=move)
        assert (told["changed"], told["digest"]) == (False, first["digest"])
    told = publish(catalog, tmp_path / "disk", tags=["also"])
    assert told["changed"] and LayoutStore(str(catalog)).tags()["also"] == first["digest"]


@pytest.mark.parametrize("changed", [{"labels": {"a": "b"}}, {"seed": 1}])
def test_a_version_stays_what_it_is(catalog: Path, tmp_path: Path, changed: dict[str, Any]) -> None:
    first = publish(catalog, write(tmp_path / "disk"))
    write(tmp_path / "disk", seed=changed.pop("seed", 0), changed=(50,))
    with pytest.raises(Conflict, match="move_tag: true"):
        publish(catalog, tmp_path / "disk", **changed)
    assert LayoutStore(str(catalog)).tags() == {"1": first["digest"]}
    told = publish(catalog, tmp_path / "disk", move_tag=True, **changed)
    assert told["changed"] and LayoutStore(str(catalog)).tags() == {"1": told["digest"]}


def test_an_alias_is_no_version(catalog: Path, tmp_path: Path) -> None:
    publish(catalog, write(tmp_path / "disk"), aliases=["stable"])
    with pytest.raises(Conflict, match="is an alias"):
        publish(catalog, tmp_path / "disk", tag="stable", move_tag=True)
    with pytest.raises(Conflict, match="is the name of a version"):
        publish(catalog, tmp_path / "disk", tag="2", aliases=["1"])


def test_an_alias_follows_new_versions_only(catalog: Path, tmp_path: Path) -> None:
    first = publish(catalog, write(tmp_path / "disk"), aliases=["stable"])
    second = publish(catalog, write(tmp_path / "disk", seed=1, changed=(1,)), tag="2", aliases=["stable"])
    store = LayoutStore(str(catalog))
    assert store.tags()["stable"] == second["digest"]
    assert [turn.digest for turn in read_aliases(store).past("stable")] == [first["digest"], second["digest"]]
    publish(catalog, write(tmp_path / "disk"), aliases=["stable"])
    assert store.tags()["stable"] == second["digest"]


def test_packs_stay_few_however_many_disks_there_are(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (packs, image_publish_packer):
        monkeypatch.setattr(module, "PACK_SIZE", BLOCK_SIZE)
    every = tuple(range(BLOCKS))
    disks = [write(tmp_path / f"disk{number}", seed=number, changed=every) for number in range(6)]
    told = publish(catalog, *disks)
    assert told["new_blocks"] == 6 * (BLOCKS - 10) and 24 < told["packs"] <= MOST_PACKS
    assert len(packs_of(catalog)) == told["packs"]
    assert bytes_of_image(catalog, "vdf") == disks[5].read_bytes()
    write(disks[5], seed=7, changed=every[1::4])
    again = publish(catalog, *disks, tag="2")
    assert again["new_blocks"] > 12 and again["repacked_blocks"] > 0 and again["packs"] <= MOST_PACKS
    assert bytes_of_image(catalog, "vdf", "2") == disks[5].read_bytes()


def test_holes_make_no_larger_packs(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []

    def pack_size(packs: int, *, left: int) -> int:
        told.append(left)
        return BLOCK_SIZE

    monkeypatch.setattr(image_publish_packer, "PACK_SIZE", BLOCK_SIZE)
    monkeypatch.setattr(image_publish_packer, "pack_size", pack_size)
    disks = [write(tmp_path / f"disk{number}", seed=number, changed=tuple(range(0, BLOCKS, 4))) for number in (1, 2)]
    data = sum(disk.stat().st_size for disk in disks)
    for disk in disks:
        os.truncate(disk, 64 << 30)
    publish(catalog, *disks)
    assert len(told) > BLOCKS // 4 and 0 < max(told) < data and min(told) < 1 << 20


def test_an_interrupted_publish_goes_on(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_publish_packer, "PACK_SIZE", 10 * BLOCK_SIZE)
    monkeypatch.setattr(image_publish_packer, "pack_size", lambda packs, left: 10 * BLOCK_SIZE)
    disk = write(tmp_path / "disk")
    sent: list[str] = []
    written = LayoutStore.write_blob

    def write_blob(self: LayoutStore, data: bytes, digest: str) -> None:
        if len(sent) == 4:
            raise ImageOpsError("the link was cut")
        sent.append(digest)
        written(self, data, digest)

    with monkeypatch.context() as cut:
        cut.setattr(LayoutStore, "write_blob", write_blob)
        with pytest.raises(ImageOpsError, match="cut"):
            publish(catalog, disk)
    assert LayoutStore(str(catalog)).tags() == {}
    told = publish(catalog, disk)
    assert bytes_of_image(catalog) == disk.read_bytes()
    store = LayoutStore(str(catalog))
    assert told["resumed_bytes"] == sum(store.blob_size(digest) or 0 for digest in sent)
    assert 1 <= told["resent_bytes"] // (10 * BLOCK_SIZE) <= 3
    assert told["reused_blocks"] == 40
    assert list(PublishJournal(f"dir:{catalog}:1").load()) == []


def test_large_packs_are_kept_in_files(
    catalog: Path, tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_publish_packer, "_MOST_MEMORY", 0)
    publish(catalog, write(tmp_path / "disk"))
    assert bytes_of_image(catalog) == (tmp_path / "disk").read_bytes()
    assert [name for name in os.listdir(state_dir / "publishes") if name.endswith(".spool")] == []
    assert PACK_SIZE > 0


def test_a_disk_that_is_written_to_meanwhile_is_refused(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = write(tmp_path / "disk")
    source = image_publish_sources._source

    def touched(*given: Any) -> Any:
        os.utime(disk)
        return source(*given)

    monkeypatch.setattr(image_publish_sources, "_source", touched)
    with pytest.raises(Conflict, match="was written to while"):
        publish(catalog, disk)
    assert LayoutStore(str(catalog)).tags() == {}


def first_layer(catalog: Path, version: str) -> str:
    manifest = json.loads(LayoutStore(str(catalog)).manifest(version)[1])
    return str(manifest["layers"][0]["digest"])


def test_equal_disks_give_equal_container_disks(catalog: Path, tmp_path: Path) -> None:
    disk = write(tmp_path / "disk")
    first = publish(catalog, disk, layout="containerdisk")
    again = publish(catalog, disk, layout="containerdisk")
    assert (again["changed"], again["digest"]) == (False, first["digest"])
    layer = LayoutStore(str(catalog)).blob_size(first_layer(catalog, first["digest"]))
    named = publish(catalog, disk, layout="containerdisk", labels={"by": "us"}, move_tag=True)
    assert (first["uploaded_bytes"], named["changed"], named["uploaded_bytes"]) == (layer, True, 0)
    with pytest.raises(Conflict, match="move_tag: true"):
        publish(catalog, write(disk, seed=1, changed=(1,)), layout="containerdisk")


def test_blocks_are_named_by_their_bytes(catalog: Path, tmp_path: Path) -> None:
    disk = write(tmp_path / "disk", blocks=22)
    publish(catalog, disk)
    image = load_image(LayoutStore(str(catalog)), "1")
    state = hashlib.sha256((22 * BLOCK_SIZE).to_bytes(8, "little"))
    for number in [0, *range(11, 22)]:
        piece = disk.read_bytes()[number * BLOCK_SIZE : (number + 1) * BLOCK_SIZE]
        state.update(number.to_bytes(8, "little") + hashlib.sha256(piece).digest())
    assert image.config.disks[0].content == f"sha256:{state.hexdigest()}"


@pytest.mark.parametrize("point", ["publish:after-manifest", "publish:before-name"])
def test_an_alias_that_a_run_could_not_move_any_more_is_moved_by_the_next(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    publish(catalog, write(tmp_path / "disk"), aliases=["stable"])
    disk = write(tmp_path / "disk", seed=1, changed=(3,))
    monkeypatch.setenv("IMAGEOPS_FAULT", f"{point}:broken")
    with pytest.raises(OSError, match="fault point"):
        publish(catalog, disk, tag="2", aliases=["stable"])
    monkeypatch.delenv("IMAGEOPS_FAULT")
    told = publish(catalog, disk, tag="2", aliases=["stable"])
    store = LayoutStore(str(catalog))
    assert told["changed"] and store.tags()["stable"] == store.tags()["2"] == told["digest"]
    assert [turn.version for turn in read_aliases(store).past("stable")] == ["1", "2"]
    assert not PublishJournal(f"dir:{catalog}:2").there


def test_an_alias_that_was_rolled_back_after_a_killed_publish_stays_so(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = publish(catalog, write(tmp_path / "disk"), aliases=["stable"])
    disk, store = write(tmp_path / "disk", seed=1, changed=(3,)), LayoutStore(str(catalog))
    monkeypatch.setenv("IMAGEOPS_FAULT", "publish:before-name:broken")
    with pytest.raises(OSError, match="fault point"):
        publish(catalog, disk, tag="2", aliases=["stable"])
    monkeypatch.delenv("IMAGEOPS_FAULT")
    change_aliases(store, lambda aliases: aliases.seen("stable", first["digest"], when="2026-11-28T18:00:00Z"))
    assert not publish(catalog, disk, tag="2", aliases=["stable"])["changed"]
    assert store.tags()["stable"] == first["digest"]


@pytest.mark.parametrize(
    ("module", "point", "tag"),
    [(image_publish_job, "publish:before-manifest", "1"), (image_publish_tags, "publish:before-name", "also")],
)
@pytest.mark.parametrize("move", [False, True])
def test_a_name_that_somebody_else_gives_in_the_last_moment(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: Any, point: str, tag: str, move: bool
) -> None:
    store = LayoutStore(str(catalog))
    other = publish(catalog, write(tmp_path / "disk", blocks=22), tag="other")["digest"]

    def strike(name: str) -> None:
        if name == point:
            descriptor, data = store.manifest(other)
            store.write_manifest(data, descriptor.media_type, tag=tag)

    monkeypatch.setattr(module, "fault_point", strike)
    with pytest.raises(Conflict, match=f"somebody else changed what the tag '{tag}' names meanwhile"):
        publish(catalog, write(tmp_path / "disk", seed=1, changed=(3,), blocks=22), tags=["also"], move_tag=move)
    assert store.tags()[tag] == other


def test_a_tag_that_somebody_else_gave_while_disks_were_read(
    catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a registry tells it, which has no lock."""
    store = LayoutStore(str(catalog))
    other = publish(catalog, write(tmp_path / "disk", blocks=22), tag="other")["digest"]

    def strike(name: str) -> None:
        if name == "publish:after-manifest":
            descriptor, data = store.manifest(other)
            store.write_manifest(data, descriptor.media_type, tag="also")

    monkeypatch.setattr(image_publish_job, "fault_point", strike)
    with pytest.raises(Conflict, match="^tags: somebody else gave the tag 'also' in dir:"):
        publish(catalog, write(tmp_path / "disk", seed=1, changed=(3,), blocks=22), tags=["also"], move_tag=True)
    assert store.tags()["also"] == other
