# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, Callable

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.artifact import (
    EMPTY_CONTENT,
    Artifact,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import MOST_MANIFEST
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    ALIASES,
    INDEX,
    MANIFEST,
    SIGNATURE,
    SSH_SIGNATURE,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.tags import ALIASES_TAG, referrers_tag
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    InUse,
    NotFound,
    TransferError,
    UnsafeImage,
    Unsupported,
)
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.referrers import index_of
from ansible_collections.imageops.fleet.tests.unit.catalog_image import small_image
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock

ONE, TWO = small_image("one"), small_image("two")


@pytest.fixture
def store(tmp_path: Path) -> LayoutStore:
    return LayoutStore(str(tmp_path / "debian"))


def blobs(store: LayoutStore) -> Path:
    return Path(store.where.removeprefix("dir:"), "blobs", "sha256")


def index_file(store: LayoutStore) -> Path:
    return Path(store.where.removeprefix("dir:"), "index.json")


def path_of(store: LayoutStore, digest: str) -> Path:
    return blobs(store) / digest.removeprefix("sha256:")


def artifact(
    store: LayoutStore, kind: str, text: bytes, subject: Descriptor | None = None, *, tag: str = ""
) -> Descriptor:
    with store.publishing():
        for data in (text, EMPTY_CONTENT):
            store.write_blob(data, digest_of(data))
        content = Descriptor(SSH_SIGNATURE, digest_of(text), len(text))
        return store.write_manifest(Artifact(kind, content, subject).as_bytes(), MANIFEST, tag=tag)


def old(store: LayoutStore, days: float = 2) -> None:
    """Let all blobs be that old."""
    for path in blobs(store).iterdir():
        moment = path.stat().st_mtime - days * 86400
        os.utime(path, (moment, moment))


def test_a_repository_that_is_not_there_yet_is_empty(store: LayoutStore) -> None:
    assert store.tags() == {} and store.untagged() == [] and store.referrers(ONE.digest) == []
    assert store.blob_size(ONE.digest) is None and store.created(ONE.digest) is None
    store.remove_tag("12")
    store.remove_manifest(ONE.digest)
    assert store.collect_garbage(grace=0) == 0
    with pytest.raises(NotFound, match="has no image '12', which is empty"):
        store.resolve("12")
    assert not index_file(store).parent.exists()


def test_what_is_published_is_read(store: LayoutStore) -> None:
    told = ONE.publish(store, "12")
    assert told == Descriptor(MANIFEST, ONE.digest, len(ONE.manifest.as_bytes()), {}, told.artifact_type)
    assert store.tags() == {"12": ONE.digest}
    for version in ("12", ONE.digest):
        found, data = store.manifest(version)
        assert (found.digest, data) == (ONE.digest, ONE.manifest.as_bytes())
        assert store.resolve(version).size == len(data)
    pack = ONE.manifest.packs[0]
    assert store.read_blob(pack.digest, 3, 5) == ONE.blobs[pack.digest][3:8]
    assert store.blob_size(pack.digest) == pack.size
    assert store.created(ONE.digest) == path_of(store, ONE.digest).stat().st_mtime


def test_it_is_a_layout_that_others_may_read(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    top = index_file(store).parent
    assert json.loads((top / "oci-layout").read_text()) == {"imageLayoutVersion": "1.0.0"}
    listed = json.loads(index_file(store).read_text())["manifests"]
    assert [entry["annotations"]["org.opencontainers.image.ref.name"] for entry in listed] == ["12"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (*blobs(store).iterdir(), index_file(store))} == {0o644}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (top, top / "blobs", blobs(store))} == {0o755}


def test_a_tag_that_moves_leaves_what_it_named_listed(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    TWO.publish(store, "12")
    assert store.tags() == {"12": TWO.digest} and list(store.untagged()) == [ONE.digest]
    ONE.publish(store, "11")
    assert store.tags() == {"11": ONE.digest, "12": TWO.digest} and store.untagged() == []
    ONE.publish(store)
    assert store.untagged() == []


def test_several_tags_of_one_image(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    ONE.publish(store, "stable")
    store.remove_tag("12")
    assert store.tags() == {"stable": ONE.digest} and store.untagged() == []
    store.remove_tag("stable")
    store.remove_tag("stable")
    assert store.tags() == {} and list(store.untagged()) == [ONE.digest]


def test_of_our_own_lists_only_the_newest_is_kept(store: LayoutStore) -> None:
    for text in (b"a", b"b"):
        artifact(store, ALIASES, text, tag=ALIASES_TAG)
    assert store.untagged() == [] and len(store.tags()) == 1


def test_publishing_again_writes_nothing(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    before = index_file(store).stat().st_ino, path_of(store, ONE.digest).stat().st_ino
    ONE.publish(store, "12")
    assert (index_file(store).stat().st_ino, path_of(store, ONE.digest).stat().st_ino) == before


def test_what_others_wrote_into_an_entry_stays(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    listed = json.loads(index_file(store).read_text())
    listed["manifests"][0]["platform"] = {"os": "linux", "architecture": "amd64"}
    listed["annotations"] = {"a": "b"}
    index_file(store).write_text(json.dumps(listed))
    ONE.publish(store, "13")
    found = json.loads(index_file(store).read_text())
    assert found["annotations"] == {"a": "b"}
    assert [entry["platform"]["os"] for entry in found["manifests"]] == ["linux", "linux"]


def test_a_manifest_without_its_blobs_is_not_kept(store: LayoutStore) -> None:
    with pytest.raises(TransferError, match="is not there, so the manifest that names it is not kept"):
        store.write_manifest(ONE.manifest.as_bytes(), MANIFEST, tag="12")
    assert store.tags() == {}


def test_a_blob_from_a_file(store: LayoutStore, tmp_path: Path) -> None:
    source = tmp_path / "blob"
    source.write_bytes(b"x" * 3_000_000)
    digest = digest_of(source.read_bytes())
    store.write_blob_file(str(source), digest, 3_000_000)
    assert path_of(store, digest).read_bytes() == source.read_bytes()
    source.write_bytes(b"y" * 3_000_001)
    with pytest.raises(TransferError, match="has other content"):
        store.write_blob_file(str(source), digest_of(b"z"), 3_000_001)
    assert [path.name for path in blobs(store).iterdir()] == [digest.removeprefix("sha256:")]


def test_a_blob_that_is_cut_off_is_written_anew(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    pack = ONE.manifest.packs[0]
    path_of(store, pack.digest).write_bytes(b"")
    with pytest.raises(TransferError, match="is cut off"):
        store.read_blob(pack.digest, 0, 10)
    ONE.publish(store, "12")
    assert path_of(store, pack.digest).read_bytes() == ONE.blobs[pack.digest]


@pytest.mark.parametrize("found", [b"", b"[]", b'{"schemaVersion": 2}', b" " * (MOST_MANIFEST + 1)])
def test_an_index_that_is_none_is_refused(store: LayoutStore, found: bytes) -> None:
    ONE.publish(store, "12")
    index_file(store).write_bytes(found)
    with pytest.raises(TransferError):
        store.tags()
    with pytest.raises(TransferError):
        TWO.publish(store, "13")
    assert index_file(store).read_bytes() == found


@pytest.mark.parametrize("digest", ["sha256:../../x", "sha512:" + "0" * 128, "x", ""])
def test_only_digests_name_blobs(store: LayoutStore, digest: str) -> None:
    ONE.publish(store, "12")
    with pytest.raises(TransferError):
        store.read_blob(digest, 0, 1)
    with pytest.raises(TransferError):
        store.write_blob(b"x", digest)


@pytest.mark.parametrize("header", [None, b"{}", b"x", b'{"imageLayoutVersion": "2.0.0"}'])
def test_a_folder_that_is_no_layout_is_refused(store: LayoutStore, header: bytes | None) -> None:
    ONE.publish(store, "12")
    path = index_file(store).parent / "oci-layout"
    path.unlink()
    if header is not None:
        path.write_bytes(header)
    with pytest.raises(Unsupported, match="no OCI image layout"):
        store.tags()


def test_a_folder_with_other_files_is_left_alone(store: LayoutStore) -> None:
    folder = index_file(store).parent
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(Conflict, match=r"holds 'notes.txt'"):
        ONE.publish(store, "12")
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_the_folder_above_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="create it first"):
        ONE.publish(LayoutStore(str(tmp_path / "a" / "b")), "12")


def _link_blob(store: LayoutStore, secret: Path) -> None:
    path_of(store, ONE.digest).unlink()
    path_of(store, ONE.digest).symlink_to(secret)


def _link_folder(store: LayoutStore, secret: Path) -> None:
    blobs(store).rename(secret.parent / "moved")
    blobs(store).symlink_to(secret.parent / "moved")


def _link_index(store: LayoutStore, secret: Path) -> None:
    index_file(store).rename(secret.parent / "index")
    index_file(store).symlink_to(secret.parent / "index")


def _fifo(store: LayoutStore, secret: Path) -> None:
    path_of(store, ONE.digest).unlink()
    os.mkfifo(path_of(store, ONE.digest))


@pytest.mark.parametrize("trick", [_link_blob, _link_folder, _link_index, _fifo])
def test_links_are_not_followed(store: LayoutStore, tmp_path: Path, trick: Callable[[Any, Path], None]) -> None:
    ONE.publish(store, "12")
    secret = tmp_path / "secret"
    secret.write_bytes(ONE.manifest.as_bytes())
    trick(store, secret)
    with pytest.raises(UnsafeImage, match="symbolic link, or is no regular file"):
        store.manifest("12")


def test_a_damaged_manifest_is_refused(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    path = path_of(store, ONE.digest)
    path.write_bytes(path.read_bytes().replace(b"sha256", b"sha255", 1))
    with pytest.raises(TransferError, match="damaged"):
        store.manifest("12")
    path.unlink()
    with pytest.raises(NotFound, match="lists this manifest, but does not hold it"):
        store.manifest("12")


def test_referrers_are_found_by_their_subject(store: LayoutStore) -> None:
    subject = ONE.publish(store, "12")
    TWO.publish(store, "13")
    signature = artifact(store, SIGNATURE, b"signed", subject)
    assert [one.digest for one in store.referrers(ONE.digest)] == [signature.digest]
    assert [one.artifact_type for one in store.referrers(ONE.digest, SIGNATURE)] == [SIGNATURE]
    assert store.referrers(ONE.digest, ALIASES) == [] and store.referrers(TWO.digest) == []
    store.remove_manifest(signature.digest)
    assert store.referrers(ONE.digest) == []


def test_referrers_that_others_listed_under_the_tag(store: LayoutStore) -> None:
    subject = ONE.publish(store, "12")
    one, two = (artifact(store, SIGNATURE, text, subject) for text in (b"a", b"b"))
    tag = referrers_tag(ONE.digest)
    store.write_manifest(
        index_of([Descriptor(MANIFEST, d.digest, d.size, {}, SIGNATURE) for d in (one, two)]), INDEX, tag=tag
    )
    assert {found.digest for found in store.referrers(ONE.digest, SIGNATURE)} == {one.digest, two.digest}
    store.remove_manifest(one.digest)
    assert [found.digest for found in store.referrers(ONE.digest, SIGNATURE)] == [two.digest]
    store.remove_manifest(two.digest)
    assert store.referrers(ONE.digest) == [] and tag not in store.tags()


def test_a_removed_manifest_is_gone_with_its_tags(store: LayoutStore) -> None:
    for tag in ("12", "stable"):
        ONE.publish(store, tag)
    TWO.publish(store, "13")
    store.remove_manifest(ONE.digest)
    assert store.tags() == {"13": TWO.digest}
    with pytest.raises(NotFound, match="it has 13"):
        store.resolve(ONE.digest)


def test_what_an_index_names_is_found_by_its_digest(store: LayoutStore) -> None:
    child = ONE.publish(store)
    store.write_manifest(index_of([child]), INDEX, tag="all")
    store.remove_manifest(ONE.digest)
    assert store.untagged() == []
    assert store.resolve(ONE.digest).media_type == MANIFEST
    assert store.collect_garbage(grace=-10) == 0
    assert store.manifest(ONE.digest)[1] == ONE.manifest.as_bytes()


def test_garbage_is_collected_after_its_time(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    TWO.publish(store, "13")
    half = blobs(store) / f".{'0' * 64}.imageops-partial-1"
    half.write_bytes(b"half")
    mine = blobs(store) / "notes.txt"
    mine.write_text("not ours")
    store.remove_manifest(ONE.digest)
    assert store.collect_garbage(grace=86400) == 4
    old(store)
    freed = store.collect_garbage(grace=86400)
    assert freed == sum(len(data) for digest, data in ONE.blobs.items() if digest not in TWO.blobs)
    assert {path.name for path in blobs(store).iterdir()} == {
        digest.removeprefix("sha256:") for digest in (*TWO.blobs, TWO.digest)
    } | {"notes.txt"}


def test_a_long_list_is_read_once_for_many_questions(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imageops.fleet.plugins.module_utils._registry import layout_index

    ONE.publish(store, "12")
    other, read = LayoutStore(store.where.removeprefix("dir:")), layout_index.entries_in
    reads: list[str] = []
    monkeypatch.setattr(layout_index, "entries_in", lambda *given: reads.append(given[1]) or read(*given))
    assert [other.resolve("12").digest for _question in range(9)] == [ONE.digest] * 9
    assert len(reads) == 1
    TWO.publish(store, "12")
    assert other.resolve("12").digest == TWO.digest


def test_what_is_listed_without_a_tag_is_no_garbage(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    TWO.publish(store, "12")
    old(store)
    assert store.collect_garbage(grace=0) == 0
    assert store.manifest(ONE.digest)[1] == ONE.manifest.as_bytes()


@pytest.mark.parametrize("kind", ["application/vnd.oci.artifact.manifest.v1+json", "application/octet-stream"])
def test_what_a_manifest_of_another_type_names_is_no_garbage(store: LayoutStore, kind: str) -> None:
    """Other tools list what we don't know, and would lose what it needs."""
    ONE.publish(store, "12")
    blob = b"of others"
    told = {"artifactType": "a/b", "blobs": [Descriptor("a/c", digest_of(blob), len(blob)).as_dict()]}
    listed = json.dumps(told).encode()
    for data in (blob, listed):
        store.write_blob(data, digest_of(data))
    index = Path(str(store.where).removeprefix("dir:")) / "index.json"
    found = json.loads(index.read_text())
    found["manifests"].append(Descriptor(kind, digest_of(listed), len(listed)).as_dict())
    index.write_text(json.dumps(found))
    old(store)
    assert store.collect_garbage(grace=0) == 0
    assert store.blob_size(digest_of(blob)) == len(blob)


def test_a_manifest_that_is_a_layer_too_is_still_read(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    layer = Descriptor("a/b", ONE.digest, len(ONE.manifest.as_bytes()))
    store.write_blob(EMPTY_CONTENT, digest_of(EMPTY_CONTENT))
    store.write_manifest(Artifact("a/c", layer).as_bytes(), MANIFEST, tag="other")
    old(store)
    assert store.collect_garbage(grace=0) == 0


def test_a_blob_that_is_published_again_counts_as_new(store: LayoutStore) -> None:
    ONE.publish(store)
    store.remove_manifest(ONE.digest)
    old(store)
    digest, data = next(iter(ONE.blobs.items()))
    store.write_blob(data, digest)
    store.collect_garbage(grace=86400)
    assert [path.name for path in blobs(store).iterdir()] == [digest.removeprefix("sha256:")]


def test_nothing_is_collected_beside_a_damaged_manifest(store: LayoutStore) -> None:
    ONE.publish(store, "12")
    path_of(store, ONE.digest).write_bytes(b"{}")
    old(store)
    with pytest.raises(TransferError, match="damaged, so what it needs is not known and nothing is removed"):
        store.collect_garbage(grace=0)
    assert len(list(blobs(store).iterdir())) == 4


def test_who_prunes_is_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "debian")
    store, other = LayoutStore(path), LayoutStore(path, clock=FakeClock())
    with store.publishing(), other.publishing():
        pass
    with store.publishing(), pytest.raises(InUse, match="published to or pruned by another task"), other.pruning():
        pass
    with store.pruning():
        store.collect_garbage(grace=0)
        with pytest.raises(InUse), other.publishing():
            pass
    with other.publishing():
        pass


def test_a_killed_publish_shows_nothing(store: LayoutStore, monkeypatch: pytest.MonkeyPatch) -> None:
    ONE.publish(store, "12")
    monkeypatch.setenv("IMAGEOPS_FAULT", "catalog:before-index:full")
    with pytest.raises(OSError):
        TWO.publish(store, "12")
    monkeypatch.delenv("IMAGEOPS_FAULT")
    assert store.tags() == {"12": ONE.digest} and store.untagged() == []
    TWO.publish(store, "12")
    assert store.tags() == {"12": TWO.digest}


def test_many_publish_at_once(tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    path = str(tmp_path / "debian")
    images = [small_image(f"image {number}") for number in range(8)]

    def publish(number: int) -> None:
        images[number].publish(LayoutStore(path), f"v{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(publish, range(8)))
    assert LayoutStore(path).tags() == {f"v{number}": image.digest for number, image in enumerate(images)}


def test_a_tag_is_given_instead_of_what_it_names(store: LayoutStore) -> None:
    one, two = ONE.publish(store, "1"), TWO.publish(store, "2")
    data = store.manifest("2")[1]
    for expected in ("", two.digest):
        with pytest.raises(Conflict, match="somebody else changed what the tag '1' names meanwhile"):
            store.write_manifest(data, MANIFEST, tag="1", instead_of=expected)
    assert store.tags() == {"1": one.digest, "2": two.digest}
    store.write_manifest(data, MANIFEST, tag="new", instead_of="")
    store.write_manifest(data, MANIFEST, tag="1", instead_of=one.digest)
    # Who was as far already is right.
    store.write_manifest(data, MANIFEST, tag="1", instead_of=one.digest)
    assert set(store.tags().values()) == {two.digest}
