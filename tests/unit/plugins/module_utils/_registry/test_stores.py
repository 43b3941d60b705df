# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.artifact import EMPTY_CONTENT, Artifact
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import Descriptor, digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import (
    MANIFEST,
    SIGNATURE,
    SSH_SIGNATURE,
)
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import parse_reference
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound, TransferError, Unsupported
from ansible_collections.imageops.fleet.plugins.module_utils._registry.distribution import RegistryStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.images import load_image, load_segments
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import Store, StoreAccess
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.mirrors import MirroredStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.open import open_store
from ansible_collections.imageops.fleet.plugins.module_utils._registry.served import LayoutContent
from ansible_collections.imageops.fleet.plugins.module_utils._registry.web import WebStore
from ansible_collections.imageops.fleet.tests.unit.catalog_image import small_image
from ansible_collections.imageops.fleet.tests.unit.fake_clock import FakeClock
from ansible_collections.imageops.fleet.tests.unit.registry_server import serving
from ansible_collections.imageops.fleet.tests.unit.shown import shown

ONE, TWO = small_image("one"), small_image("two")
PACK = ONE.manifest.packs[0]
DATA = ONE.blobs[PACK.digest]


@pytest.fixture
def layout(tmp_path: Path) -> LayoutStore:
    store = LayoutStore(str(tmp_path / "debian"))
    subject = ONE.publish(store, "12")
    with store.publishing():
        for data in (b"signed", EMPTY_CONTENT):
            store.write_blob(data, digest_of(data))
        content = Descriptor(SSH_SIGNATURE, digest_of(b"signed"), 6)
        store.write_manifest(Artifact(SIGNATURE, content, subject).as_bytes(), MANIFEST)
    return store


@pytest.fixture
def place(layout: LayoutStore) -> Iterator[str]:
    with shown(LayoutContent(layout.where.removeprefix("dir:"))) as server:
        yield f"127.0.0.1:{server.server_address[1]}"


def opened(text: str, **access: Any) -> Store:
    return open_store(parse_reference(text, option="image"), StoreAccess(**access), FakeClock())


def test_each_reference_has_its_store(tmp_path: Path) -> None:
    assert isinstance(opened(f"dir:{tmp_path}/debian:12"), LayoutStore)
    assert isinstance(opened("registry.example:5000/team/debian:12"), RegistryStore)
    assert isinstance(opened("https://web.example/images/debian:12"), WebStore)
    assert isinstance(opened(f"dir:{tmp_path}/debian:12", mirrors=["https://m.example"]), MirroredStore)


@pytest.mark.parametrize("form", ["http://{}/debian", "{}/debian"])
def test_a_layout_on_the_network_reads_as_in_its_folder(place: str, layout: LayoutStore, form: str) -> None:
    """By files as by the API: the server shows both."""
    if form.startswith("http"):
        store: Store = WebStore(form.format(place), StoreAccess(), clock=FakeClock())
    else:
        store = opened(form.format(place), plain_http=True)
    image = load_image(store, "12")
    assert (image.digest, image.config) == (ONE.digest, ONE.config)
    assert load_segments(store, image, image.config.disks[0]) == list(ONE.segments)
    assert store.tags() == layout.tags() and store.resolve(ONE.digest).digest == ONE.digest
    assert store.read_blob(PACK.digest, 3, 7) == DATA[3:10]
    assert store.blob_size(PACK.digest) == PACK.size and store.blob_size(TWO.digest) is None
    assert [one.artifact_type for one in store.referrers(ONE.digest, SIGNATURE)] == [SIGNATURE]
    for version in ("13", TWO.digest):
        with pytest.raises(NotFound, match="has no image"):
            store.resolve(version)
    store.close()


def test_the_index_of_a_web_server_is_asked_for_once(layout: LayoutStore) -> None:
    clock = FakeClock()
    with shown(LayoutContent(layout.where.removeprefix("dir:"))) as server:
        store = WebStore(f"http://127.0.0.1:{server.server_address[1]}", StoreAccess(), clock=clock)
        assert store.tags() == {"12": ONE.digest}
        for _question in range(3):
            assert store.resolve("12").digest == store.resolve(ONE.digest).digest == ONE.digest
        assert server.requests == 1
        TWO.publish(layout, "13")
        clock.sleep(11)
        assert store.resolve("13").digest == TWO.digest
        store.close()


def test_a_web_server_takes_nothing(place: str) -> None:
    store = WebStore(f"http://{place}", StoreAccess(), clock=FakeClock())
    assert not store.writable
    for act in (
        lambda: store.write_blob(b"x", digest_of(b"x")),
        lambda: store.write_blob_file("/x", digest_of(b"x"), 1),
        lambda: store.write_manifest(b"{}", MANIFEST),
        lambda: store.remove_tag("12"),
        lambda: store.remove_manifest(ONE.digest),
        store.publishing,
        store.pruning,
        lambda: store.collect_garbage(grace=0),
    ):
        with pytest.raises(Unsupported, match="read only"):
            act()
    assert store.created(ONE.digest) is None


def test_a_web_server_without_a_layout(tmp_path: Path) -> None:
    with shown(LayoutContent(str(tmp_path / "none"))) as server:
        store = WebStore(f"http://127.0.0.1:{server.server_address[1]}", StoreAccess(), clock=FakeClock())
        with pytest.raises(NotFound, match="shows no OCI image layout: it has no index.json"):
            store.tags()


def test_a_web_server_with_a_token(layout: LayoutStore) -> None:
    with shown(LayoutContent(layout.where.removeprefix("dir:")), token="correct-horse-battery") as server:
        url = f"http://127.0.0.1:{server.server_address[1]}"
        access = StoreAccess(username="any", password="correct-horse-battery")
        assert WebStore(url, access, clock=FakeClock()).tags() == {"12": ONE.digest}
        with pytest.raises(TransferError, match="give url_username and url_password"):
            WebStore(url, StoreAccess(), clock=FakeClock()).tags()


def test_mirrors_are_asked_first(layout: LayoutStore, tmp_path: Path, place: str) -> None:
    mirror = tmp_path / "mirror"
    ONE.publish(LayoutStore(str(mirror)))
    store = opened(f"{place}/debian:12", plain_http=True, mirrors=[f"dir:{mirror}"])
    layout_pack = tmp_path / "debian" / "blobs" / "sha256" / PACK.digest.removeprefix("sha256:")
    layout_pack.unlink()
    assert store.resolve("12").digest == ONE.digest
    assert store.read_blob(PACK.digest, 0, PACK.size) == DATA
    assert store.manifest(ONE.digest)[1] == ONE.manifest.as_bytes()
    # What is to be written is only the catalog's own business.
    assert store.blob_size(PACK.digest) is None and store.writable
    store.close()


def test_mirrors_never_get_the_password(layout: LayoutStore) -> None:
    with serving() as mirror:
        mirror.blobs.update(ONE.blobs)
        store = open_store(
            parse_reference("registry.example/team/debian:12", option="image"),
            StoreAccess(username="user", password="secret", mirrors=(f"http://{mirror.place}",)),
            FakeClock(),
        )
        assert store.read_blob(PACK.digest, 0, 5) == DATA[:5]
        assert mirror.sent("Authorization") == [""]


def test_a_mirror_that_fails_is_left_alone(layout: LayoutStore) -> None:
    with serving() as mirror:
        mirror.statuses = [500] * 50
        store = opened(layout.where, mirrors=[])
        mirrored = MirroredStore(
            store,
            [RegistryStore(mirror.place, "team/debian", StoreAccess(plain_http=True), clock=FakeClock(), attempts=2)],
        )
        for _again in range(3):
            assert mirrored.read_blob(PACK.digest, 0, PACK.size) == DATA
        assert len(mirror.asked) == 2
        assert "500" in mirrored.left[f"{mirror.place}/team/debian"]


def test_what_a_mirror_lacks_comes_from_the_catalog(layout: LayoutStore) -> None:
    with serving() as mirror:
        store = RegistryStore(mirror.place, "team/debian", StoreAccess(plain_http=True), clock=FakeClock())
        mirrored = MirroredStore(layout, [store])
        for _again in range(2):
            assert mirrored.read_blob(PACK.digest, 0, PACK.size) == DATA
        assert len(mirror.asked) == 2 and mirrored.left == {}
        assert not mirrored.doubt(PACK.digest)


def test_a_mirror_that_lies_is_found_out(layout: LayoutStore, tmp_path: Path) -> None:
    lying = LayoutStore(str(tmp_path / "lying"))
    ONE.publish(lying)
    for blob in (ONE.manifest.config.digest, ONE.manifest.index.digest):
        path = tmp_path / "lying" / "blobs" / "sha256" / blob.removeprefix("sha256:")
        path.write_bytes(bytes(path.stat().st_size))
    for blob in (ONE.manifest.config.digest, ONE.manifest.index.digest):
        mirrored = MirroredStore(layout, [lying])
        if blob == ONE.manifest.index.digest:
            (tmp_path / "lying" / "blobs" / "sha256" / ONE.manifest.config.digest.removeprefix("sha256:")).unlink()
        image = load_image(mirrored, "12")
        assert load_segments(mirrored, image, image.config.disks[0]) == list(ONE.segments)
        assert "damaged" in mirrored.left[lying.where]


def test_a_mirror_cannot_move_a_tag(layout: LayoutStore, tmp_path: Path) -> None:
    mirror = LayoutStore(str(tmp_path / "mirror"))
    TWO.publish(mirror, "12")
    mirrored = MirroredStore(layout, [mirror])
    assert mirrored.resolve("12").digest == ONE.digest
    assert mirrored.manifest("12")[1] == ONE.manifest.as_bytes()
    assert mirrored.tags() == {"12": ONE.digest}


def test_what_is_written_goes_to_the_catalog(layout: LayoutStore, tmp_path: Path) -> None:
    mirror = LayoutStore(str(tmp_path / "mirror"))
    mirrored = MirroredStore(layout, [mirror])
    TWO.publish(mirrored, "13")
    assert set(layout.tags()) == {"12", "13"} and mirror.tags() == {}
    mirrored.remove_tag("13")
    mirrored.remove_manifest(TWO.digest)
    with mirrored.pruning():
        mirrored.collect_garbage(grace=0)
    assert list(layout.tags()) == ["12"] and layout.blob_size(TWO.digest) is None
