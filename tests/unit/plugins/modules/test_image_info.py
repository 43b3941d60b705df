# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import DiskEntry
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import INDEX
from ansible_collections.imageops.fleet.plugins.module_utils._errors import (
    Conflict,
    EngineError,
    ImageOpsError,
    MissingLibrary,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_held
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_images import (
    HeldImage,
    held_images,
    note_held,
)
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._operations.usage import User
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, write_record
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.plain_images import publish
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

BASE = {number: bytes([number]) * 100 for number in range(1, 11)}


class Catalog:
    """Three versions: the second adds to the first, the third shares nothing."""

    def __init__(self, path: Path) -> None:
        self.store = LayoutStore(str(path))
        self.name = f"dir:{path}"
        self.digests = {
            "1": self.publish("1", BASE, created="2026-01-01T00:00:00Z"),
            "2": self.publish("2", BASE, {20: b"new" * 10}, created="2026-02-01T00:00:00Z", labels={"team": "web"}),
            "3": self.publish("3", {20: b"new" * 10, 30: b"other"}, created="2026-01-15T00:00:00Z"),
        }

    def publish(self, tag: str, *packs: dict[int, bytes], **config: Any) -> str:
        return publish(self.store, tag, *packs, **config)

    def info(self, **options: Any) -> dict[str, Any]:
        asked = {"repository": self.name} if "image" not in options else {}
        result = run_module("image_info", {**asked, **options})
        assert not result.get("failed") and not result["changed"], result.get("msg")
        return result

    def hold(self, path: Path, version: str, reference: str = "") -> None:
        """What a pull leaves."""
        path.write_bytes(b"content")
        content = digest_of(b"content")
        source = {
            "reference": reference or f"{self.name}:{version}",
            "manifest": self.digests[version],
            "content": content,
        }
        record = Record("pull", "raw", 7, source=source, digest=content)
        write_record(str(path), record)
        note_held(str(path), record, DiskEntry("vda", 7, content))


@pytest.fixture
def catalog(tmp_path: Path, state_dir: Path) -> Catalog:
    return Catalog(tmp_path / "debian")


def test_versions_come_newest_first(catalog: Catalog) -> None:
    found = catalog.info()
    assert [version["tags"] for version in found["versions"]] == [["2"], ["3"], ["1"]]
    assert [version["newest"] for version in found["versions"]] == [True, False, False]
    newest = found["versions"][0]
    assert newest["labels"] == {"team": "web"} and newest["problem"] == "" and newest["vm"] == {}
    assert newest["disks"][0]["name"] == "vda" and newest["disks"][0]["used"] == 11 * 65536
    assert newest["size"]["guest"] == 1 << 30 and newest["size"]["used"] == 11 * 65536
    assert found["repository"]["newest"] == {
        "digest": catalog.digests["2"], "tags": ["2"], "created": "2026-02-01T00:00:00Z",
    }  # fmt: skip
    assert (found["held"], found["repository"]["outdated"], found["repository"]["versions"]) == ([], False, 3)


def test_sizes_tell_what_versions_share(catalog: Catalog) -> None:
    two, three, one = catalog.info()["versions"]
    assert one["size"]["stored"] - one["size"]["own"] == 1000
    assert two["size"]["stored"] - two["size"]["own"] == 1000
    assert three["size"]["stored"] == three["size"]["own"]


def test_the_whole_counts_each_blob_once(catalog: Catalog) -> None:
    found = catalog.info()
    assert found["repository"]["stored"] == sum(version["size"]["stored"] for version in found["versions"]) - 1000


def test_blocks_are_shared_also_across_packs(catalog: Catalog) -> None:
    two, three, one = (version["blocks"] for version in catalog.info(blocks=True)["versions"])
    assert one == {"total": 10, "shared": 10, "total_bytes": 1000, "shared_bytes": 1000}
    assert two == {"total": 11, "shared": 11, "total_bytes": 1030, "shared_bytes": 1030}
    assert three == {"total": 2, "shared": 1, "total_bytes": 35, "shared_bytes": 30}


def test_aliases(catalog: Catalog) -> None:
    alias = {"repository": catalog.name, "alias": "stable"}
    for version in ("1", "3"):
        assert run_module("image_alias", {**alias, "version": version})["changed"]
    found = catalog.info(wanted="stable")
    assert found["versions"][1]["aliases"] == ["stable"] and found["versions"][1]["tags"] == ["3"]
    assert found["repository"]["aliases"] == {
        "stable": {"digest": catalog.digests["3"], "previous": catalog.digests["1"]}
    }
    assert found["repository"]["wanted"]["tags"] == ["3"]


def test_what_only_an_alias_names_is_not_the_newest(catalog: Catalog) -> None:
    run_module("image_alias", {"repository": catalog.name, "alias": "candidate", "version": "2"})
    catalog.store.remove_tag("2")
    assert catalog.info()["repository"]["newest"]["tags"] == ["3"]


def test_a_version_whose_tag_was_moved_away(catalog: Catalog) -> None:
    catalog.publish("2", {1: b"again"}, created="2026-03-01T00:00:00Z")
    assert [version["tags"] for version in catalog.info()["versions"]] == [["2"], [], ["3"], ["1"]]


def test_signatures(catalog: Catalog, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    run_module("image_sign", {"image": f"{catalog.name}:1", "key": str(key)})
    allowed = tmp_path / "allowed"
    allowed.write_text(f"me {(tmp_path / 'key.pub').read_text(encoding='utf-8')}", encoding="utf-8")
    two, three, one = catalog.info(allowed_signers=str(allowed))["versions"]
    assert [len(each["signatures"]) for each in (one, two, three)] == [1, 0, 0]
    assert one["signer"] == {"identity": "me", "key": one["signatures"][0]["key"]}
    assert two["signer"] is None
    assert "signer" not in catalog.info()["versions"][0]


def test_one_image(catalog: Catalog) -> None:
    found = catalog.info(image=f"{catalog.name}:1")
    assert [version["digest"] for version in found["versions"]] == [catalog.digests["1"]]
    assert "repository" not in found
    assert catalog.info(image=f"{catalog.name}@{catalog.digests['1']}")["versions"] == found["versions"]


def test_what_others_keep_there(catalog: Catalog) -> None:
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
    catalog.store.write_manifest(index, INDEX, tag="theirs")
    theirs = next(version for version in catalog.info()["versions"] if version["tags"] == ["theirs"])
    assert "no image that imageops.fleet published" in theirs["problem"] and "size" not in theirs


def test_damage_hides_no_other_version(catalog: Catalog, tmp_path: Path) -> None:
    blob = tmp_path / "debian/blobs/sha256" / catalog.digests["1"][7:]
    blob.write_bytes(blob.read_bytes()[:-1])
    found = catalog.info()
    assert sorted(bool(version["problem"]) for version in found["versions"]) == [False, False, True]
    assert found["repository"]["versions"] == 2


def test_nothing_is_there(tmp_path: Path, state_dir: Path) -> None:
    found = run_module("image_info", {"repository": f"dir:{tmp_path}/none"})
    assert found["versions"] == [] and found["repository"]["newest"] is None and not found["repository"]["outdated"]
    assert not (tmp_path / "none").exists()


def test_what_the_host_holds(catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    used = {str(tmp_path / "old.raw"): [User("domain", "web-1", "", True)]}
    monkeypatch.setattr(
        "ansible_collections.imageops.fleet.plugins.module_utils._operations.usage.users_of",
        lambda path, _tools: used.get(path, []),
    )
    catalog.hold(tmp_path / "old.raw", "1")
    catalog.hold(tmp_path / "new.raw", "2", reference="mirror.example:5000/debian:2")
    (tmp_path / "old.raw").write_bytes(b"written")
    new, old = catalog.info()["held"]
    assert (new["versions"], new["outdated"], new["valid"], new["users"]) == (["2"], False, True, [])
    assert (old["versions"], old["outdated"], old["valid"]) == (["1"], True, False)
    assert old["users"] == [{"kind": "domain", "name": "web-1", "running": True}]
    assert catalog.info()["repository"]["outdated"]
    assert [held["outdated"] for held in catalog.info(wanted="1")["held"]] == [True, False]
    assert catalog.info(held=False)["held"] == []
    assert [held["path"] for held in catalog.info(image=f"{catalog.name}:2")["held"]] == [str(tmp_path / "new.raw")]
    assert image_held.held_digests(Tools()) == {catalog.digests["1"], catalog.digests["2"]}


def test_a_held_version_that_the_repository_lost(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ansible_collections.imageops.fleet.plugins.module_utils._operations.usage.users_of", lambda path, _tools: []
    )
    catalog.hold(tmp_path / "old.raw", "1")
    catalog.store.remove_manifest(catalog.digests["1"])
    (held,) = catalog.info()["held"]
    assert (held["known"], held["versions"], held["outdated"]) == (False, [], True)


def test_what_is_held_in_a_folder_that_is_not_there(catalog: Catalog, tmp_path: Path) -> None:
    (tmp_path / "mounted").mkdir()
    catalog.hold(tmp_path / "mounted/old.raw", "1")
    (tmp_path / "mounted").rename(tmp_path / "elsewhere")
    (held,) = catalog.info()["held"]
    assert (held["digest"], held["valid"], held["users"]) == (catalog.digests["1"], False, [])


@pytest.mark.parametrize("kind", [Conflict, EngineError, MissingLibrary])
def test_what_is_held_can_be_left_out_where_it_is_not_known(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, kind: type[ImageOpsError]
) -> None:
    def unknown(_tools: Tools) -> list[HeldImage]:
        raise kind("The host can't tell; repair it.", cmd="virsh")

    monkeypatch.setattr(image_held, "held_anywhere", unknown)
    result = run_module("image_info", {"repository": catalog.name})
    assert result["msg"] == "The host can't tell; repair it; or leave out what the host holds by held: false."
    assert result["cmd"] == "virsh" and len(catalog.info(held=False)["versions"]) == 3


def test_a_note_of_a_newer_version_and_a_newer_record(catalog: Catalog, tmp_path: Path, state_dir: Path) -> None:
    """What can't be known of one file hinders nobody who asks about another one."""
    catalog.hold(tmp_path / "old.raw", "1")
    (note,) = (state_dir / "held").iterdir()
    note.write_text(json.dumps({**json.loads(note.read_bytes()), "invented": 1}), encoding="utf-8")
    os.setxattr(tmp_path / "old.raw", "user.imageops.record", b'{"schema": 99}')
    (held,) = held_images()
    assert (held.digest, held.valid) == (catalog.digests["1"], False)
    assert [(held["digest"], held["valid"]) for held in catalog.info()["held"]] == [(catalog.digests["1"], False)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"wanted": "9"}, "wanted: dir:"),
        ({"image": "dir:/none:1", "wanted": "1"}, "wanted: this compares"),
        ({"image": "dir:/none:1"}, "has no image '1'"),
        ({"repository": "dir:/none:1"}, "repository: "),
    ],
)
def test_refusals(catalog: Catalog, options: dict[str, Any], message: str) -> None:
    asked = {"repository": catalog.name} if "image" not in options else {}
    result = run_module("image_info", {**asked, **options})
    assert result["failed"] and message in result["msg"]
