# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.digest import digest_of
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.image import DiskEntry
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.media_types import INDEX
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.times import format_time
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_held, image_prune
from ansible_collections.imageops.fleet.plugins.module_utils._operations.held_images import note_held
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_signature import signatures_of
from ansible_collections.imageops.fleet.plugins.module_utils._operations.operation import Tools
from ansible_collections.imageops.fleet.plugins.module_utils._records import Record, write_record
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit import run_module as program
from ansible_collections.imageops.fleet.tests.unit.plain_images import publish
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module

DAY = 86400
NOW = 1764345600
COMMON = {0: b"common" * 100}
# What a version has for itself.
OWN = 500


class Catalog:
    """Four versions that are 1, 10, 20 and 40 days old and share a pack."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store = LayoutStore(str(path))
        self.name = f"dir:{path}"
        self.digests = {tag: self.publish(tag, days) for tag, days in (("4", 1), ("3", 10), ("2", 20), ("1", 40))}

    def publish(self, tag: str, days: float) -> str:
        own = {int(tag[-1]): tag.encode() * (OWN // len(tag))}
        digest = publish(self.store, tag, COMMON, own, created=format_time(NOW - days * DAY))
        self.age(days)
        return digest

    def age(self, days: float) -> None:
        """All that is younger is as old as that."""
        for blob in self.blobs:
            if blob.stat().st_mtime > NOW:
                os.utime(blob, (NOW - days * DAY, NOW - days * DAY))

    @property
    def blobs(self) -> list[Path]:
        return sorted((self.path / "blobs/sha256").iterdir())

    @property
    def tags(self) -> str:
        return " ".join(sorted(self.store.tags()))

    def run(self, *, check: bool = False, **options: Any) -> dict[str, Any]:
        return run_module("image_prune", {"repository": self.name, "in_use": [], **options}, check=check)

    def prune(self, **options: Any) -> dict[str, Any]:
        result = self.run(**options)
        assert not result.get("failed"), result["msg"]
        (entry,) = result["repositories"]
        return dict(entry)

    def sign(self, tag: str) -> None:
        key = self.path.parent / "key"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        assert run_module("image_sign", {"image": f"{self.name}:{tag}", "key": str(key)})["changed"]
        self.age(5)

    def require_whole(self) -> None:
        """Every blob that a listed manifest names is there, and nothing else."""
        index = json.loads((self.path / "index.json").read_bytes())
        needed = set()
        for entry in index["manifests"]:
            data = (self.path / "blobs/sha256" / entry["digest"][7:]).read_bytes()
            assert digest_of(data) == entry["digest"]
            manifest = json.loads(data)
            needed |= {
                entry["digest"],
                manifest["config"]["digest"],
                *(layer["digest"] for layer in manifest["layers"]),
            }
        assert {f"sha256:{blob.name}" for blob in self.blobs} == needed


@pytest.fixture
def catalog(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    monkeypatch.setattr(
        "ansible_collections.imageops.fleet.plugins.module_utils._jobs.clock.Clock.time", lambda _clock: float(NOW)
    )
    return Catalog(tmp_path / "debian")


def reasons(entry: dict[str, Any]) -> dict[str, str]:
    return {" ".join(each["tags"]): each["reason"] for each in entry["kept"] + entry["removed"]}


def test_the_newest_stay(catalog: Catalog) -> None:
    before = sum(blob.stat().st_size for blob in catalog.blobs)
    entry = catalog.prune(keep=2)
    assert [each["tags"] for each in entry["removed"]] == [["2"], ["1"]]
    assert [each["tags"] for each in entry["kept"]] == [["4"], ["3"]]
    assert entry["freed"] == before - sum(blob.stat().st_size for blob in catalog.blobs) > 2 * OWN
    assert catalog.tags == "3 4"
    catalog.require_whole()
    again = catalog.prune(keep=2)
    assert not again["changed"] and again["removed"] == [] and again["freed"] == 0


def test_the_young_stay(catalog: Catalog) -> None:
    assert reasons(catalog.prune(keep=1, keep_within="15d")) == {
        "4": "among the newest", "3": "young", "2": "removed", "1": "removed",
    }  # fmt: skip


def test_one_of_both_may_hold_nothing(catalog: Catalog) -> None:
    assert catalog.prune(keep=2, keep_within=None, check=True) == catalog.prune(keep=2, check=True)
    assert catalog.prune(keep=None, keep_within="15d", check=True) == catalog.prune(keep_within="15d", check=True)


def test_check_mode_tells_what_would_go(catalog: Catalog) -> None:
    before = catalog.blobs
    told = catalog.prune(keep=2, check=True)
    assert told["changed"] and catalog.blobs == before
    real = catalog.prune(keep=2)
    names = ("removed", "kept", "orphans", "steps")
    assert [told[name] for name in names] == [real[name] for name in names]
    assert real["freed"] == told["freed"]


def test_aliases_stay_and_where_a_rollback_goes(catalog: Catalog) -> None:
    for version in ("1", "2"):
        run_module("image_alias", {"repository": catalog.name, "alias": "stable", "version": version})
    catalog.age(3)
    assert reasons(catalog.prune(keep=1, check=True)) == {
        "4": "among the newest", "3": "removed", "2 stable": "alias", "1": "rollback",
    }  # fmt: skip
    assert reasons(catalog.prune(keep=1, keep_rollback=False)) == {
        "4": "among the newest", "3": "removed", "2 stable": "alias", "1": "removed",
    }  # fmt: skip
    assert catalog.tags == "2 4 imageops-aliases stable"
    catalog.require_whole()


def test_what_is_in_use_stays(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_prune, "held_digests", lambda _tools: frozenset({catalog.digests["3"]}))
    entry = catalog.prune(keep=1, in_use=[f"mirror.example:5000/x@{catalog.digests['1']}"])
    assert reasons(entry) == {"4": "among the newest", "3": "in use", "2": "removed", "1": "in use"}
    assert image_held.held_digests(Tools()) == frozenset()


def hold(catalog: Catalog, path: Path, version: str) -> None:
    """What a pull leaves."""
    path.write_bytes(b"content")
    source = {"reference": f"{catalog.name}:{version}", "manifest": catalog.digests[version], "content": "c"}
    record = Record("pull", "raw", 7, source=source)
    write_record(str(path), record)
    note_held(str(path), record, DiskEntry("vda", 7, "c"))


def test_a_file_that_was_renamed_is_held(catalog: Catalog, tmp_path: Path) -> None:
    hold(catalog, tmp_path / "base.raw", "1")
    (tmp_path / "base.raw").rename(tmp_path / "other.raw")
    (held,) = run_module("image_info", {"repository": catalog.name})["held"]
    assert (held["path"], held["digest"], held["valid"]) == (str(tmp_path / "other.raw"), catalog.digests["1"], True)
    assert reasons(catalog.prune(keep=1))["1"] == "in use"
    assert catalog.tags == "1 4"


def test_a_file_that_was_renamed_over_a_noted_one_is_held(catalog: Catalog, tmp_path: Path) -> None:
    for name, version in (("base.raw", "1"), ("new.raw", "2")):
        hold(catalog, tmp_path / name, version)
    (tmp_path / "new.raw").replace(tmp_path / "base.raw")
    held = run_module("image_info", {"repository": catalog.name})["held"]
    assert {(each["path"], each["digest"]) for each in held} == {
        (str(tmp_path / "base.raw"), catalog.digests[version]) for version in ("1", "2")
    }
    assert reasons(catalog.prune(keep=1))["2"] == "in use"


def test_what_was_pulled_while_it_waited_stays(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruning = LayoutStore.pruning

    def pull_meanwhile(store: LayoutStore) -> Any:
        hold(catalog, tmp_path / "base.raw", "1")
        return pruning(store)

    monkeypatch.setattr(LayoutStore, "pruning", pull_meanwhile)
    assert reasons(catalog.prune(keep=1)) == {
        "4": "among the newest", "3": "removed", "2": "removed", "1": "in use",
    }  # fmt: skip
    assert catalog.tags == "1 4"


def test_notes_that_can_not_be_read_are_not_passed_over(catalog: Catalog, tmp_path: Path, state_dir: Path) -> None:
    hold(catalog, tmp_path / "base.raw", "1")
    (note,) = (state_dir / "held").iterdir()
    told = json.loads(note.read_bytes())
    note.write_text(json.dumps({**told, "invented": [1]}))
    assert reasons(catalog.prune(keep=1, check=True))["1"] == "in use"
    note.write_text(json.dumps({name: value for name, value in told.items() if name != "digest"}))
    for result in (catalog.run(keep=1), run_module("image_info", {"repository": catalog.name})):
        assert result["failed"] and f"{note} can't be read, so it isn't known" in result["msg"]
    note.unlink()
    os.setxattr(tmp_path / "base.raw", "user.imageops.record", b'{"schema": 99}')
    hold(catalog, tmp_path / "second.raw", "2")
    assert "carries a record of schema 99" in catalog.run(keep=1)["msg"]
    assert catalog.tags == "1 2 3 4"


def test_a_version_that_lost_its_tag_is_one_still(catalog: Catalog) -> None:
    old = catalog.digests["4"]
    catalog.publish("4", 0.5)
    assert reasons(catalog.prune(keep=2, grace="1h"))[""] == "among the newest"
    assert reasons(catalog.prune(keep=1, in_use=[old], grace="1h"))[""] == "in use"
    assert reasons(catalog.prune(keep=1, grace="1h")) == {"4": "among the newest", "": "removed"}
    catalog.require_whole()


def test_what_others_keep_there_stays_and_what_they_name(catalog: Catalog) -> None:
    entry = catalog.store.resolve("1").as_dict()
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]}).encode()
    catalog.store.write_manifest(index, INDEX, tag="theirs")
    found = reasons(catalog.prune(keep=1))
    assert found == {
        "theirs": "no image of ours",
        "4": "among the newest",
        "3": "removed",
        "2": "removed",
        "1": "in use",
    }
    assert catalog.tags == "1 4 theirs"


def test_signatures_go_with_their_images(catalog: Catalog) -> None:
    catalog.sign("1")
    catalog.sign("4")
    assert catalog.prune(keep=1)["changed"]
    assert len(signatures_of(catalog.store, catalog.digests["4"])) == 1
    assert catalog.store.referrers(catalog.digests["1"]) == []
    catalog.require_whole()


def test_signatures_that_a_killed_run_left(catalog: Catalog) -> None:
    catalog.sign("1")
    catalog.store.remove_manifest(catalog.digests["1"])
    entry = catalog.prune(keep=9)
    assert entry["orphans"] == 1 and entry["changed"] and entry["removed"] == []
    catalog.require_whole()
    assert not catalog.prune(keep=9)["changed"]


def test_signatures_that_other_tools_wrote(catalog: Catalog) -> None:
    """They list them in an index with a tag."""
    catalog.sign("1")
    (signature,) = catalog.store.referrers(catalog.digests["1"])
    index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [signature.as_dict()]}).encode()
    catalog.store.write_manifest(index, INDEX, tag="sha256-" + catalog.digests["1"][7:])
    catalog.age(5)
    assert "sha256-" not in str(reasons(catalog.prune(keep=4)))
    catalog.store.remove_manifest(catalog.digests["1"])
    assert catalog.prune(keep=1)["orphans"] == 2
    assert catalog.tags == "4"
    catalog.require_whole()


def test_a_signature_that_is_early(catalog: Catalog) -> None:
    catalog.sign("1")
    catalog.store.remove_manifest(catalog.digests["1"])
    assert catalog.prune(keep=9, grace="6d")["orphans"] == 0


def test_blobs_stay_for_the_grace_period(catalog: Catalog) -> None:
    """An interrupted publish may go on with them."""
    young = b"a pack of an unfinished publish"
    catalog.store.write_blob(young, digest_of(young))
    catalog.age(0.5)
    catalog.prune(keep=1)
    assert catalog.store.blob_size(digest_of(young)) == len(young)
    assert not catalog.prune(keep=1)["changed"]
    assert catalog.prune(keep=1, grace="1h") | {"steps": []} == {
        "repository": catalog.name, "kept": catalog.prune(keep=1)["kept"], "removed": [], "orphans": 0,
        "freed": len(young), "changed": True, "steps": [],
    }  # fmt: skip
    catalog.require_whole()


def test_nothing_goes_in_its_first_time(catalog: Catalog) -> None:
    assert reasons(catalog.prune(keep=1, grace="30d")) == {
        "4": "among the newest", "3": "grace period", "2": "grace period", "1": "removed",
    }  # fmt: skip


def test_many_repositories(catalog: Catalog, tmp_path: Path) -> None:
    other = Catalog(tmp_path / "other")
    result = run_module("image_prune", {"repositories": [catalog.name, other.name], "keep": 1, "in_use": []})
    assert [each["repository"] for each in result["repositories"]] == [catalog.name, other.name]
    assert (catalog.tags, other.tags) == ("4", "4")


def test_what_was_promoted_in_between_stays(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    look = image_prune.look
    looks: list[int] = []

    def promote_meanwhile(store: Any, wishes: Any, *, now: float) -> Any:
        looks.append(1)
        if len(looks) == 2:
            with monkeypatch.context() as patch:
                patch.setattr(LayoutStore, "publishing", lambda _store: contextlib.nullcontext())
                run_module("image_alias", {"repository": catalog.name, "alias": "stable", "version": "1"})
        return look(store, wishes, now=now)

    monkeypatch.setattr(image_prune, "look", promote_meanwhile)
    entry = catalog.prune(keep=1)
    assert reasons(entry)["1 stable"] == "alias" and [each["tags"] for each in entry["removed"]] == [["3"], ["2"]]
    assert catalog.tags == "1 4 imageops-aliases stable"


@pytest.mark.parametrize("moment", ["prune:before-manifest", "prune:before-referrers", "prune:before-garbage"])
def test_killed(catalog: Catalog, moment: str) -> None:
    """Each version that is listed is whole, and the next run removes what was left."""
    catalog.sign("1")
    catalog.sign("3")
    options = {"repository": catalog.name, "keep": 1, "in_use": [], "grace": "0"}
    killed = subprocess.run(
        [sys.executable, program.__file__, "image_prune", json.dumps(options)],
        env={**os.environ, "IMAGEOPS_FAULT": f"{moment}:kill"}, capture_output=True, check=False,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    for digest in catalog.store.tags().values():
        for blob in json.loads(catalog.store.manifest(digest)[1])["layers"]:
            assert catalog.store.blob_size(blob["digest"]) == blob["size"]
    assert catalog.prune(keep=1, grace="0")["changed"]
    assert catalog.tags == "4"
    catalog.require_whole()
    assert not catalog.prune(keep=1, grace="0")["changed"]


PUBLISHER = """
import sys, time
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.plain_images import publish
store = LayoutStore(sys.argv[1])
for round in range(40):
    # Each uses packs that only versions have which are pruned meanwhile.
    packs = [{number: b"%d" % number * 1000} for number in range(round % 3, 6)]
    publish(store, "new-%d" % round, *packs, created="2025-11-28T00:00:%02dZ" % round)
    # Who only asks again and again whether a lock is free gets it when it is free for a while.
    time.sleep(0.05)
"""


def test_publishing_races_pruning(tmp_path: Path, state_dir: Path) -> None:
    """Two processes: whatever is listed is whole at every moment that counts, which is after each prune."""
    path = tmp_path / "race"
    with subprocess.Popen([sys.executable, "-c", PUBLISHER, str(path)]) as publisher:
        store, removed = LayoutStore(str(path)), 0
        while publisher.poll() is None:
            result = run_module("image_prune", {"repository": f"dir:{path}", "keep": 1, "in_use": [], "grace": "0"})
            assert not result.get("failed"), result["msg"]
            removed += len(result["repositories"][0]["removed"])
            for digest in store.tags().values():
                for blob in json.loads(store.manifest(digest)[1])["layers"]:
                    assert store.blob_size(blob["digest"]) == blob["size"]
    assert publisher.returncode == 0
    assert removed > 0
    assert "new-39" in store.tags()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "keep, keep_within"),
        ({"keep": 0}, "keep: say how many versions stay, or by keep_within how long they do"),
        ({"keep": None}, "keep: say how many"),
        ({"keep_within": None}, "keep: say how many"),
        ({"keep": None, "keep_within": None}, "keep: say how many"),
        ({"keep": 0, "keep_within": None}, "keep: say how many"),
        ({"keep": 0, "keep_within": "0"}, "keep: say how many"),
        ({"keep": None, "keep_within": "0d"}, "keep: say how many"),
        ({"keep": -1, "keep_within": "1d"}, "keep: -1 is no number of versions"),
        ({"keep_within": "soon"}, "keep_within: 'soon' is no length of time"),
        ({"keep": 1, "grace": "x"}, "grace: 'x' is no length of time"),
        ({"keep": 1, "in_use": ["12"]}, "in_use: '12' names no content"),
        ({"keep": 1, "in_use": None}, "in_use"),
    ],
)
def test_refusals(catalog: Catalog, options: dict[str, Any], message: str) -> None:
    result = catalog.run(**options)
    assert result["failed"] and message in result["msg"]
    assert catalog.tags == "1 2 3 4"


def test_a_damaged_catalog_is_left_alone(catalog: Catalog) -> None:
    blob = catalog.path / "blobs/sha256" / catalog.digests["3"][7:]
    blob.write_bytes(blob.read_bytes()[:-1])
    result = catalog.run(keep=1)
    assert result["failed"] and "damaged" in result["msg"]
    assert catalog.tags == "1 2 3 4"


def test_nothing_is_there(tmp_path: Path, state_dir: Path) -> None:
    result = run_module("image_prune", {"repository": f"dir:{tmp_path}/none", "keep": 1, "in_use": []})
    assert not result["changed"] and result["repositories"][0]["kept"] == []
    assert not (tmp_path / "none").exists()


def test_a_publisher_that_tells_an_impossible_time(catalog: Catalog) -> None:
    """Its version counts from when it came, and hides no other one."""
    publish(catalog.store, "5", COMMON, {5: b"5"}, created="9999-12-31T23:59:59-12:00")
    catalog.age(30)
    found = catalog.prune(keep=2)
    assert reasons(found) == {
        "4": "among the newest", "3": "among the newest", "2": "removed", "5": "removed", "1": "removed",
    }  # fmt: skip
    assert not run_module("image_info", {"repository": catalog.name}).get("failed")


def test_a_container_disk_of_ours_stays(catalog: Catalog, tmp_path: Path) -> None:
    """It tells no age, and who starts from it is no host that was asked."""
    (tmp_path / "disk").write_bytes(b"x" * 65536)
    disks = [{"path": str(tmp_path / "disk"), "format": "raw"}]
    options = {"image": f"{catalog.name}:vm", "disks": disks, "layout": "containerdisk"}
    assert run_module("image_publish", options)["changed"]
    catalog.age(50)
    assert reasons(catalog.prune(keep=1))["vm"] == "no image of ours"
    assert catalog.tags == "4 vm"
