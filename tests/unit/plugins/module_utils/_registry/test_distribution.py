# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.artifact import EMPTY_CONTENT, Artifact
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    INDEX,
    MANIFEST,
    SIGNATURE,
    SSH_SIGNATURE,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.tags import referrers_tag
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound, TransferError, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._registry import upload
from ansible_collections.imageops.fleet.plugins.module_utils._registry.attempts import ATTEMPTS
from ansible_collections.imageops.fleet.plugins.module_utils._registry.distribution import RegistryStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image, load_segments
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess
from ansible_collections.imageops.fleet.plugins.module_utils._transfer.stream import Broken
from ansible_collections.imageops.fleet.tests.unit.catalog_image import SmallImage, small_image
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock
from ansible_collections.imageops.fleet.tests.unit.registry_server import Registry, serving

ONE, TWO = small_image("one"), small_image("two")
BLOB = bytes(range(256)) * 4096
DIGEST = digest_of(BLOB)


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serving() as found:
        yield found


def store_of(registry: Registry, clock: FakeClock | None = None, **given: Any) -> RegistryStore:
    access = StoreAccess(**{"plain_http": True, "idle_timeout": 120.0, **given})
    return RegistryStore(registry.place, "team/debian", access, clock=clock or FakeClock())


def artifact(store: RegistryStore, text: bytes, subject: Descriptor) -> Descriptor:
    for data in (text, EMPTY_CONTENT):
        store.write_blob(data, digest_of(data))
    content = Descriptor(SSH_SIGNATURE, digest_of(text), len(text))
    return store.write_manifest(Artifact(SIGNATURE, content, subject).as_bytes(), MANIFEST)


def holding(registry: Registry, image: SmallImage, tag: str) -> None:
    registry.blobs.update(image.blobs)
    registry.manifests[image.digest] = (MANIFEST, image.manifest.as_bytes())
    registry.tags[tag] = image.digest


def test_a_repository_that_is_not_there_yet_is_empty(registry: Registry) -> None:
    store = store_of(registry)
    assert store.tags() == {} and store.untagged() == () and store.referrers(ONE.digest) == []
    assert store.blob_size(ONE.digest) is None and store.created(ONE.digest) is None
    store.remove_tag("12")
    store.remove_manifest(ONE.digest)
    with pytest.raises(NotFound, match=r"127.0.0.1:\d+/team/debian has no image '12'"):
        store.resolve("12")


def test_what_is_published_is_read(registry: Registry) -> None:
    store = store_of(registry)
    assert ONE.publish(store, "12").digest == ONE.digest
    assert store.tags() == {"12": ONE.digest}
    for version in ("12", ONE.digest):
        assert store.resolve(version) == Descriptor(MANIFEST, ONE.digest, len(ONE.manifest.as_bytes()))
        assert store.manifest(version)[1] == ONE.manifest.as_bytes()
    image = load_image(store, "12")
    assert load_segments(store, image, image.config.disks[0]) == list(ONE.segments)
    assert set(registry.blobs) == set(ONE.blobs)


def test_one_connection_is_kept(registry: Registry) -> None:
    store = store_of(registry)
    ONE.publish(store, "12")
    load_image(store, "12")
    assert len(registry.connections) == 1
    store.close()


def test_all_kinds_of_manifests_are_asked_for(registry: Registry) -> None:
    holding(registry, ONE, "12")
    store_of(registry).resolve("12")
    (accepted,) = registry.sent("Accept")
    for kind in (
        "oci.image.manifest",
        "oci.image.index",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list",
    ):
        assert kind in accepted
    assert registry.methods == ["HEAD"]


def test_a_registry_that_tells_no_digest_is_read(registry: Registry) -> None:
    holding(registry, ONE, "12")
    registry.head_digest = False
    assert store_of(registry).resolve("12").digest == ONE.digest


@pytest.mark.parametrize("version", ["12", ONE.digest])
def test_a_manifest_that_is_another_is_refused(registry: Registry, version: str) -> None:
    holding(registry, ONE, "12")
    registry.manifests[ONE.digest] = (MANIFEST, TWO.manifest.as_bytes())
    with pytest.raises(TransferError, match="has another digest: it is damaged, or not what was published"):
        store_of(registry).manifest(version)


def test_parts(registry: Registry) -> None:
    registry.blobs[DIGEST] = BLOB
    store = store_of(registry)
    for offset, length in ((0, len(BLOB)), (5, 1), (1000, 70_000), (len(BLOB) - 1, 1), (7, 0)):
        assert store.read_blob(DIGEST, offset, length) == BLOB[offset : offset + length]
    with pytest.raises(NotFound):
        store.read_blob(ONE.digest, 0, 1)
    for offset, length in ((len(BLOB), 1), (len(BLOB) - 1, 2)):
        with pytest.raises(TransferError, match="cut off"):
            store.read_blob(DIGEST, offset, length)


def test_many_parts_at_once(registry: Registry) -> None:
    registry.blobs[DIGEST] = BLOB
    store = store_of(registry)
    offsets = range(0, len(BLOB), 16_384)
    with ThreadPoolExecutor(8) as pool:
        assert b"".join(pool.map(lambda offset: store.read_blob(DIGEST, offset, 16_384), offsets)) == BLOB
    assert len(registry.connections) <= 8


def test_a_part_that_is_cut_is_gone_on_with(registry: Registry) -> None:
    registry.blobs[DIGEST], registry.cuts = BLOB, [300_000, 1, 100_000]
    clock = FakeClock()
    assert store_of(registry, clock).read_blob(DIGEST, 10, 900_000) == BLOB[10:900_010]
    asked = [header for header in registry.sent("Range") if header]
    assert asked == ["bytes=10-900009", "bytes=300010-900009", "bytes=300011-900009", "bytes=400011-900009"]
    assert all(0.3 < pause < 0.7 for pause in clock.slept) and len(clock.slept) == 3


def test_a_server_that_sends_less_is_asked_for_the_rest(registry: Registry) -> None:
    registry.blobs[DIGEST], registry.most_range = BLOB, 400_000
    assert store_of(registry).read_blob(DIGEST, 0, len(BLOB)) == BLOB


def test_a_server_that_always_cuts_is_given_up(registry: Registry) -> None:
    registry.blobs[DIGEST], registry.cuts = BLOB, [0] * 20
    clock = FakeClock()
    with pytest.raises(Broken, match=f"It was tried {ATTEMPTS} times; run the task again"):
        store_of(registry, clock).read_blob(DIGEST, 0, 1000)
    assert len(clock.slept) == ATTEMPTS - 1
    assert all(low < high for low, high in zip(clock.slept, clock.slept[1:]))


def test_a_server_without_parts(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imageops.fleet.plugins.module_utils._registry import parts

    registry.blobs[DIGEST], registry.ranges = BLOB, False
    store = store_of(registry)
    assert store.read_blob(DIGEST, 500_000, 10) == BLOB[500_000:500_010]
    monkeypatch.setattr(parts, "_MOST_PASSED_OVER", 1000)
    with pytest.raises(Unsupported, match="gives no parts of files"):
        store.read_blob(DIGEST, 500_000, 10)


def test_another_part_than_was_asked_for_is_refused(registry: Registry) -> None:
    registry.blobs[DIGEST], registry.range_start = BLOB, 3
    with pytest.raises(TransferError, match="sent another part"):
        store_of(registry).read_blob(DIGEST, 10, 100)


@pytest.mark.parametrize("said", [500, 502, 503, 429])
def test_what_may_pass_is_tried_again(registry: Registry, said: int) -> None:
    holding(registry, ONE, "12")
    registry.statuses = [said, said]
    clock = FakeClock()
    assert store_of(registry, clock).resolve("12").digest == ONE.digest
    assert len(clock.slept) == 2


def test_a_server_says_how_long_to_wait(registry: Registry) -> None:
    holding(registry, ONE, "12")
    registry.statuses = [
        (429, {"Retry-After": "17"}),
        (503, {"Retry-After": "100000"}),
        (429, {"Retry-After": "tomorrow"}),
    ]
    clock = FakeClock()
    store_of(registry, clock).resolve("12")
    assert clock.slept[:2] == [17.0, 120.0] and clock.slept[2] < 5


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        (401, TransferError, "may not be read.*give url_username and url_password"),
        (403, TransferError, "may not be read by this user"),
        (405, Unsupported, "can't be read"),
        (413, TransferError, "client_max_body_size"),
        (418, TransferError, "can't be read: the server said 418"),
    ],
)
def test_refusals_name_the_way_out(registry: Registry, said: int, error: type[Exception], message: str) -> None:
    registry.statuses = [said]
    with pytest.raises(error, match=message):
        store_of(registry).manifest("12")


def test_a_registry_that_takes_nothing_may_be_collecting_garbage(registry: Registry) -> None:
    registry.statuses = [405]
    with pytest.raises(Unsupported, match="can't be written: the server said 405.*while it collects garbage"):
        store_of(registry).write_manifest(b"{}", INDEX, tag="12")


def test_a_silent_host_is_no_riddle() -> None:
    with serving() as registry:
        gone = store_of(registry)
    with pytest.raises(Broken, match="the connection failed: .*refused; start the server"):
        gone.resolve("12")


def test_uploads_small_ones_at_once(registry: Registry) -> None:
    store = store_of(registry)
    store.write_blob(b"small", digest_of(b"small"))
    assert registry.methods == ["HEAD", "POST", "PUT"]
    store.write_blob(b"small", digest_of(b"small"))
    assert registry.methods == ["HEAD", "POST", "PUT", "HEAD"]
    store.write_blob(b"", digest_of(b""))
    assert registry.blobs == {digest_of(b"small"): b"small", digest_of(b""): b""}


def test_a_blob_that_was_cut_short_is_sent_again(registry: Registry, tmp_path: Path) -> None:
    registry.blobs[DIGEST] = BLOB[:-1]
    path = tmp_path / "blob"
    path.write_bytes(BLOB)
    store_of(registry).write_blob_file(str(path), DIGEST, len(BLOB))
    assert registry.blobs == {DIGEST: BLOB}


def test_a_blob_that_stays_cut_short_is_no_success(registry: Registry) -> None:
    registry.keeps, registry.blobs[DIGEST] = True, BLOB[:100]
    with pytest.raises(TransferError, match=rf"holds 100 instead of {len(BLOB)} bytes of the blob {DIGEST}"):
        store_of(registry).write_blob(BLOB, DIGEST)


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PIECE", 100_000)


@pytest.mark.usefixtures("small_pieces")
def test_uploads_large_ones_in_pieces(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "blob"
    path.write_bytes(BLOB)
    store_of(registry).write_blob_file(str(path), DIGEST, len(BLOB))
    assert registry.blobs == {DIGEST: BLOB}
    assert registry.sent("Content-Range")[2:4] == ["0-99999", "100000-199999"]
    assert registry.methods.count("PATCH") == 11


@pytest.mark.usefixtures("small_pieces")
def test_an_upload_that_is_cut_goes_on(registry: Registry) -> None:
    registry.cut_uploads = [30_000, 0, 99_999]
    store_of(registry).write_blob(BLOB, DIGEST)
    assert registry.blobs == {DIGEST: BLOB}
    assert registry.sent("Content-Range")[2] == "0-99999"
    assert "30000-129999" in registry.sent("Content-Range")
    assert registry.methods.count("POST") == 1


@pytest.mark.usefixtures("small_pieces")
def test_an_upload_that_is_forgotten_begins_anew(registry: Registry) -> None:
    registry.forgets_cut, registry.cut_uploads = True, [99_999, 30_000]
    store_of(registry).write_blob(BLOB, DIGEST)
    assert registry.blobs == {DIGEST: BLOB}
    assert registry.methods.count("POST") == 3


@pytest.mark.usefixtures("small_pieces")
def test_an_upload_that_comes_no_further_is_given_up(registry: Registry) -> None:
    registry.forgets_cut, registry.cut_uploads = True, [100_000, 100_000, 10] * 10
    with pytest.raises(Broken, match="tried 6 times"):
        store_of(registry).write_blob(BLOB, DIGEST)


def test_an_upload_to_another_server_is_refused(registry: Registry) -> None:
    registry.location = "http://elsewhere.example"
    with pytest.raises(TransferError, match="wants uploads to go to http://elsewhere.example/"):
        store_of(registry).write_blob(BLOB, DIGEST)


def test_pieces_larger_than_memory_likes_are_not_sent(registry: Registry) -> None:
    registry.statuses = [
        404,
        (202, {"Location": "/v2/team/debian/blobs/uploads/u", "OCI-Chunk-Min-Length": "9999999999"}),
    ]
    with pytest.raises(Unsupported, match="wants pieces of at least 9999999999 bytes"):
        store_of(registry).write_blob(BLOB, DIGEST)


def test_tags_come_in_pages(registry: Registry) -> None:
    for number in range(5):
        holding(registry, ONE, f"v{number}")
    registry.tag_page = 2
    assert store_of(registry).tags() == {f"v{number}": ONE.digest for number in range(5)}
    assert registry.methods.count("GET") == 3


def test_a_list_without_an_end_is_given_up(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imageops.fleet.plugins.module_utils._registry import paging

    monkeypatch.setattr(paging, "_MOST_PAGES", 3)
    for number in range(9):
        holding(registry, ONE, f"v{number}")
    registry.tag_page = 1
    with pytest.raises(TransferError, match="list has no end"):
        store_of(registry).tags()


def test_a_list_of_endless_pages_is_given_up(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from ansible_collections.imageops.fleet.plugins.module_utils._registry import paging

    monkeypatch.setattr(paging, "_MOST_BYTES", 60)
    for number in range(9):
        holding(registry, ONE, f"v{number}")
    registry.tag_page = 1
    with pytest.raises(TransferError, match="list has no end"):
        store_of(registry).tags()
    assert registry.methods.count("GET") < 5


@pytest.mark.parametrize("api", [True, False])
def test_referrers(registry: Registry, api: bool) -> None:
    registry.api = api
    store = store_of(registry)
    subject = ONE.publish(store, "12")
    one, two = artifact(store, b"a", subject), artifact(store, b"b", subject)
    assert {found.digest for found in store.referrers(ONE.digest, SIGNATURE)} == {one.digest, two.digest}
    assert {found.artifact_type for found in store.referrers(ONE.digest)} == {SIGNATURE}
    assert store.referrers(ONE.digest, "application/x") == [] and store.referrers(TWO.digest) == []
    assert (referrers_tag(ONE.digest) in registry.tags) is not api
    store.remove_manifest(one.digest)
    assert [found.digest for found in store.referrers(ONE.digest)] == [two.digest]
    store.remove_manifest(two.digest)
    assert store.referrers(ONE.digest) == [] and set(registry.tags) == {"12"}


def test_no_list_names_a_referrer_that_is_gone(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    registry.api = False
    store = store_of(registry)
    subject = ONE.publish(store, "12")
    one, two = artifact(store, b"a", subject), artifact(store, b"b", subject)
    monkeypatch.setenv("IMAGEOPS_FAULT", "registry:unlisted:broken")
    with pytest.raises(OSError):
        store.remove_manifest(one.digest)
    assert [found.digest for found in store.referrers(ONE.digest)] == [two.digest] and one.digest in registry.manifests


def test_a_list_stays_as_it_is_where_nothing_is_removed(registry: Registry) -> None:
    registry.api = False
    store = store_of(registry)
    subject = ONE.publish(store, "12")
    listed = {artifact(store, content, subject).digest for content in (b"a", b"b")}
    registry.deletes = False
    with pytest.raises(Unsupported, match="removes nothing"):
        store.remove_manifest(min(listed))
    assert {found.digest for found in store.referrers(ONE.digest)} == listed


def test_a_referrer_that_another_writer_overwrote_is_listed_again(registry: Registry) -> None:
    store = store_of(registry)
    subject = ONE.publish(store, "12")
    registry.lose_tag_writes = 2
    one = artifact(store, b"a", subject)
    assert [found.digest for found in store.referrers(ONE.digest)] == [one.digest]
    registry.lose_tag_writes = 100
    with pytest.raises(TransferError, match="again and again"):
        artifact(store, b"b", subject)


def test_a_tag_is_removed_where_only_digests_can_be(registry: Registry) -> None:
    store = store_of(registry)
    ONE.publish(store, "12")
    ONE.publish(store, "stable")
    store.remove_tag("stable")
    assert registry.tags == {"12": ONE.digest} and set(registry.manifests) == {ONE.digest}


def test_a_registry_that_removes_nothing_says_so(registry: Registry) -> None:
    store = store_of(registry)
    ONE.publish(store, "12")
    registry.deletes = False
    with pytest.raises(Unsupported, match="removes nothing; let its operator allow it"):
        store.remove_tag("12")
    with pytest.raises(Unsupported, match="removes nothing"):
        store.remove_manifest(ONE.digest)
    assert registry.tags == {"12": ONE.digest}


def test_a_manifest_that_is_too_large_is_not_sent(registry: Registry) -> None:
    with pytest.raises(Unsupported, match="registries take"):
        store_of(registry).write_manifest(bytes(5 << 20), INDEX)
    assert registry.asked == []


def test_nothing_waits_for_a_registry(registry: Registry) -> None:
    store = store_of(registry)
    with store.publishing(), store.pruning():
        assert store.collect_garbage(grace=0) == 0


def test_a_registry_of_this_host_may_have_no_tls(registry: Registry) -> None:
    holding(registry, ONE, "12")
    store = store_of(registry, plain_http=False)
    assert store.resolve("12").digest == ONE.digest
    assert store.manifest("12")[0].digest == ONE.digest


def test_names_with_slashes_stay_in_their_place(registry: Registry) -> None:
    with pytest.raises(NotFound):
        store_of(registry).resolve("../../x")
    assert registry.asked[0][1] == "/v2/team/debian/manifests/..%2F..%2Fx"


@pytest.mark.parametrize("digest", ["sha256:../x", "x", "", "sha512:" + "0" * 128])
def test_only_digests_name_blobs(registry: Registry, digest: str) -> None:
    with pytest.raises(TransferError):
        store_of(registry).read_blob(digest, 0, 1)
    assert registry.asked == []


def test_random_content_survives(registry: Registry) -> None:
    data = os.urandom(300_000)
    store = store_of(registry)
    store.write_blob(data, digest_of(data))
    assert store.read_blob(digest_of(data), 0, len(data)) == data
