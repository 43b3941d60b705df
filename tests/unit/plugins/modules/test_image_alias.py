# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.tags import ALIASES_TAG
from ansible_collections.imageops.fleet.plugins.module_utils._errors import NotFound
from ansible_collections.imageops.fleet.plugins.module_utils._operations import image_alias
from ansible_collections.imageops.fleet.plugins.module_utils._operations.image_alias_state import read_aliases
from ansible_collections.imageops.fleet.plugins.module_utils._registry.distribution import RegistryStore
from ansible_collections.imageops.fleet.plugins.module_utils._registry.interface import StoreAccess
from ansible_collections.imageops.fleet.plugins.module_utils._registry.layout import LayoutStore
from ansible_collections.imageops.fleet.tests.unit.plain_images import publish
from ansible_collections.imageops.fleet.tests.unit.registry_server import serving
from ansible_collections.imageops.fleet.tests.unit.run_module import run_module


class Catalog:
    """A repository in a directory with three versions."""

    def __init__(self, path: Path) -> None:
        self.store = LayoutStore(str(path))
        self.name = f"dir:{path}"
        self.digests = {tag: publish(self.store, tag, {0: tag.encode()}) for tag in ("1", "2", "3")}

    def run(self, *, check: bool = False, diff: bool = False, **options: Any) -> dict[str, Any]:
        return run_module("image_alias", {"repository": self.name, **options}, check=check, diff=diff)

    def set(self, **options: Any) -> dict[str, Any]:
        """The one entry of a run that ended well."""
        result = self.run(**{"alias": "stable", **options})
        assert not result.get("failed"), result["msg"]
        (entry,) = result["aliases"]
        assert entry["changed"] == result["changed"]
        return dict(entry)

    @property
    def stable(self) -> str:
        """The version at which stable points."""
        by_digest = {digest: tag for tag, digest in self.digests.items()}
        return by_digest.get(self.store.tags().get("stable", ""), "")


@pytest.fixture
def catalog(tmp_path: Path, state_dir: Path) -> Catalog:
    return Catalog(tmp_path / "debian")


def test_an_alias_is_made_and_moved(catalog: Catalog) -> None:
    made = catalog.set(version="1")
    assert (made["changed"], made["digest"], made["versions"], made["previous"]) == (
        True,
        catalog.digests["1"],
        ["1"],
        None,
    )
    moved = catalog.set(version="2")
    assert (moved["changed"], catalog.stable, moved["previous"]["version"]) == (True, "2", "1")
    assert [turn["version"] for turn in moved["history"]] == ["1", "2"]
    assert not catalog.set(version="2")["changed"]
    assert not catalog.set(version=catalog.digests["2"])["changed"]


def test_the_diff_says_from_where_to_where(catalog: Catalog) -> None:
    catalog.set(version="1")
    (diff,) = catalog.run(alias="stable", version="2", diff=True)["diff"]
    assert catalog.digests["1"] in diff["before"] and catalog.digests["2"] in diff["after"]


def test_check_mode_changes_nothing(catalog: Catalog) -> None:
    result = catalog.run(alias="stable", version="1", check=True)
    assert result["changed"] and result["aliases"][0]["digest"] == catalog.digests["1"]
    assert set(catalog.store.tags()) == {"1", "2", "3"}


def test_rollbacks_go_on_to_the_first_version(catalog: Catalog) -> None:
    for version in ("1", "2", "3"):
        catalog.set(version=version)
    assert catalog.set(rollback=True)["previous"]["version"] == "1"
    assert catalog.stable == "2"
    catalog.set(rollback=True)
    assert catalog.stable == "1"
    failed = catalog.run(alias="stable", rollback=True)
    assert "doesn't know where stable pointed before" in failed["msg"]


def test_a_rollback_from_a_version_is_done_once(catalog: Catalog) -> None:
    for version in ("1", "2", "3"):
        catalog.set(version=version)
    assert catalog.set(rollback=True, rollback_from="3")["changed"]
    assert not catalog.set(rollback=True, rollback_from="3")["changed"]
    assert not catalog.set(rollback=True, rollback_from=catalog.digests["3"])["changed"]
    assert catalog.stable == "2"


def test_a_rollback_to_what_was_pruned_is_refused(catalog: Catalog) -> None:
    catalog.set(version="1")
    catalog.set(version="2")
    catalog.store.remove_manifest(catalog.digests["1"])
    assert "pointed at 1 before, which" in catalog.run(alias="stable", rollback=True)["msg"]
    assert catalog.stable == "2"


def test_a_tag_that_others_moved(catalog: Catalog) -> None:
    catalog.set(version="1")
    descriptor, data = catalog.store.manifest("3")
    catalog.store.write_manifest(data, descriptor.media_type, tag="stable")
    assert not catalog.set(version="3")["changed"]
    assert catalog.set(rollback=True)["digest"] == catalog.digests["1"]


@pytest.mark.parametrize("moment", ["alias:before-history", "alias:before-tag"])
@pytest.mark.parametrize("options", [{"version": "3"}, {"rollback": True}])
def test_killed_in_between(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch, moment: str, options: dict[str, Any]
) -> None:
    """The alias stays where it was, and the next run does what this one didn't."""

    class Killed(BaseException):
        pass

    def strike(name: str) -> None:
        if name == moment:
            raise Killed

    catalog.set(version="1")
    catalog.set(version="2")
    with monkeypatch.context() as patch:
        patch.setattr(image_alias, "fault_point", strike)
        with pytest.raises(Killed):
            catalog.set(**options)
    assert catalog.stable == "2"
    expected = options.get("version", "1")
    assert catalog.set(**options)["digest"] == catalog.digests[expected]
    assert not catalog.set(version=expected)["changed"]
    if "version" in options:
        assert catalog.set(rollback=True)["digest"] == catalog.digests["2"]


def test_a_version_s_own_name_is_not_taken_by_accident(catalog: Catalog) -> None:
    for options in ({"version": "2"}, {"state": "absent"}):
        failed = catalog.run(alias="1", **options)
        assert "'1' is the name of a version" in failed["msg"] and "force" in failed["msg"]
    assert catalog.set(alias="1", version="2", force=True)["history"][0]["digest"] == catalog.digests["1"]
    assert catalog.set(alias="1", rollback=True)["digest"] == catalog.digests["1"]


def test_promotion_through_a_list(catalog: Catalog) -> None:
    catalog.set(alias="candidate", version="1")
    result = catalog.run(aliases=[{"alias": "stable", "version": "candidate"}, {"alias": "candidate", "version": "2"}])
    assert [entry["versions"] for entry in result["aliases"]] == [["1"], ["2"]]
    assert not catalog.run(aliases=[{"alias": "candidate", "version": "2"}])["changed"]


def test_an_item_points_at_what_an_earlier_one_moved(catalog: Catalog) -> None:
    items = [{"alias": "candidate", "version": "3"}, {"alias": "stable", "version": "candidate"}]
    assert [each["digest"] for each in catalog.run(aliases=items, check=True)["aliases"]] == [catalog.digests["3"]] * 2
    result = catalog.run(aliases=items)
    assert [each["digest"] for each in result["aliases"]] == [catalog.digests["3"]] * 2
    assert catalog.stable == "3"
    assert not catalog.run(aliases=items)["changed"]


@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize(
    "items",
    [
        [{"version": "2"}, {"version": "1"}],
        [{"version": "2"}, {"state": "absent"}],
        [{"state": "absent"}, {"version": "2"}],
        [{"version": "2"}, {"rollback": True}],
        [{"rollback": True}, {"version": "2"}],
    ],
)
def test_an_alias_is_named_once(catalog: Catalog, there: bool, items: list[dict[str, Any]]) -> None:
    """Else each run would change it there and back."""
    for version in ("3", "1") if there or "rollback" in items[0] else ():
        catalog.set(version=version)
    before = catalog.store.tags()
    result = catalog.run(aliases=[{"alias": "stable", **item} for item in items])
    assert result["msg"].startswith(f"alias: {catalog.name}:stable is named twice in the list")
    assert catalog.store.tags() == before


def test_rollbacks_of_one_alias_follow_one_another(catalog: Catalog) -> None:
    for version in ("1", "2", "3"):
        catalog.set(version=version)
    items = [{"alias": "stable", "rollback": True, "rollback_from": start} for start in ("3", "2")]
    assert catalog.run(aliases=items, check=True)["changed"]
    assert catalog.run(aliases=items)["changed"] and catalog.stable == "1"
    assert not catalog.run(aliases=items)["changed"]


def test_an_alias_is_removed(catalog: Catalog) -> None:
    catalog.set(version="1")
    assert catalog.set(state="absent") == {
        "alias": "stable", "state": "absent", "previous": None, "history": [], "changed": True,
        "steps": ["remove the alias stable"],
    }  # fmt: skip
    assert not catalog.set(state="absent")["changed"]
    assert set(catalog.store.tags()) == {"1", "2", "3", ALIASES_TAG}


def test_killed_while_it_was_removed(catalog: Catalog) -> None:
    catalog.set(version="1")
    catalog.store.remove_tag("stable")
    assert catalog.set(state="absent")["changed"]
    assert not catalog.set(state="absent")["changed"]


def lose(catalog: Catalog, digest: str) -> None:
    (Path(catalog.name[4:]) / "blobs/sha256" / digest[7:]).unlink()


@pytest.mark.parametrize("part", ["manifest", "content"])
def test_the_list_is_lost(catalog: Catalog, part: str) -> None:
    """Nobody guesses which tags are aliases, and it can be begun anew."""
    for alias, version in (("stable", "1"), ("stable", "2"), ("candidate", "3")):
        catalog.set(alias=alias, version=version)
    descriptor, data = catalog.store.manifest(ALIASES_TAG)
    lose(catalog, descriptor.digest if part == "manifest" else json.loads(data)["layers"][0]["digest"])
    lost = "the list of aliases is lost"
    assert lost in run_module("image_info", {"repository": catalog.name})["msg"]
    assert lost in run_module("image_prune", {"repository": catalog.name, "keep": 1, "grace": "0", "in_use": []})["msg"]
    assert lost in catalog.run(alias="stable", version="2")["msg"]
    assert {"1", "2", "3"} < set(catalog.store.tags())
    items = [{"alias": "stable", "version": "2"}, {"alias": "candidate", "version": "3"}]
    anew = f"{catalog.name}: the list of aliases was lost and is begun anew; set the other aliases again"
    for check in (True, False):
        renewed = catalog.run(aliases=items, force=True, check=check)
        assert any(warning.startswith(anew) for warning in renewed["warnings"])
    assert not renewed.get("failed") and [entry["changed"] for entry in renewed["aliases"]] == [True, True]
    assert not catalog.run(aliases=items)["changed"] and not catalog.run(aliases=items, force=True)["changed"]
    found = run_module("image_info", {"repository": catalog.name})["repository"]["aliases"]
    assert {alias: told["digest"] for alias, told in found.items()} == {
        "stable": catalog.digests["2"], "candidate": catalog.digests["3"],
    }  # fmt: skip


def test_a_lost_list_is_begun_anew_under_another_name(catalog: Catalog) -> None:
    catalog.set(version="1")
    lose(catalog, catalog.store.resolve(ALIASES_TAG).digest)
    assert "the list of aliases is lost" in catalog.run(alias="new", version="2")["msg"]
    assert catalog.set(alias="new", version="2", force=True)["digest"] == catalog.digests["2"]


def test_a_list_that_somebody_writes_meanwhile(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no lost one."""
    manifest = LayoutStore.manifest
    catalog.set(version="1")
    early = [ALIASES_TAG]

    def late(store: LayoutStore, version: str) -> Any:
        if version in early:
            early.remove(version)
            raise NotFound("not yet")
        return manifest(store, version)

    monkeypatch.setattr(LayoutStore, "manifest", late)
    assert read_aliases(catalog.store).names == {"stable"} and not early


def test_a_registry_that_lost_the_list(state_dir: Path) -> None:
    with serving() as registry:
        name = f"{registry.place}/team/debian"
        store = RegistryStore(registry.place, "team/debian", StoreAccess(plain_http=True))
        publish(store, "1", {0: b"1"})
        options = {"repository": name, "alias": "stable", "version": "1"}
        assert run_module("image_alias", options)["changed"]
        registry.manifests.pop(store.resolve(ALIASES_TAG).digest)
        assert "the list of aliases is lost" in run_module("image_info", {"repository": name})["msg"]
        assert run_module("image_alias", {**options, "force": True})["changed"]
        assert not run_module("image_alias", options)["changed"]


def test_nothing_is_there(tmp_path: Path, state_dir: Path) -> None:
    options = {"repository": f"dir:{tmp_path}/none", "alias": "stable"}
    assert not run_module("image_alias", {**options, "state": "absent"})["changed"]
    assert "has no image '1'" in run_module("image_alias", {**options, "version": "1"})["msg"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"version": "9"}, "has no image '9'; it has 1, 2, 3"),
        ({"version": "sha256:" + "0" * 64}, "has no image"),
        ({}, "by either version or rollback"),
        ({"version": "1", "rollback": True}, "by either version or rollback"),
        ({"version": "1", "state": "absent"}, "shall be removed"),
        ({"version": "1", "rollback_from": "1"}, "give rollback too"),
        ({"rollback": True, "rollback_from": ""}, "rollback_from: an empty text is no version"),
        ({"version": "imageops-aliases"}, "version: the catalog keeps the tag 'imageops-aliases' for itself"),
        ({"version": "1", "alias": "a/b"}, "alias: "),
        ({"version": "1", "alias": ""}, "alias: an empty text is no tag"),
        ({"state": "absent", "alias": ""}, "alias: an empty text is no tag"),
        ({"version": "1", "alias": "imageops-aliases"}, "keeps the tag 'imageops-aliases' for itself"),
        ({"version": "1", "repository": "dir:/srv/x:1"}, "repository: "),
        ({"version": "1", "repository": None}, "repository: "),
    ],
)
def test_refusals(catalog: Catalog, options: dict[str, Any], message: str) -> None:
    result = catalog.run(**{"alias": "stable", **options})
    assert result["failed"] and message in result["msg"]
    assert set(catalog.store.tags()) == {"1", "2", "3"}
