# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.imageops.fleet.plugins.filter.image_drift import FilterModule

image_drift = FilterModule().filters()["image_drift"]
A, B, C, D = (f"sha256:{letter * 64}" for letter in "abcd")


def catalog(wanted: str = "3", **digests: str) -> dict[str, Any]:
    """What image_info tells, the newest first."""
    versions = [{"digest": digest, "tags": [tag[1:]] if tag[0] == "v" else []} for tag, digest in digests.items()]
    found = next((each for each in versions if wanted in each["tags"]), None)
    return {"repository": {"name": "reg.example/debian", "wanted": found}, "versions": versions}


def held(digest: str, path: str = "/images/x", *users: str) -> dict[str, Any]:
    told = [{"kind": "domain", "name": name, "running": True} for name in users]
    return {"path": path, "digest": digest, "reference": "mirror.example/x:1", "users": told}


DEBIAN = catalog(v3=A, lost=B, v1=C)


def test_rows() -> None:
    found = {
        "hv2": {"held": [held(C, "/images/old", "web-1"), held(A, "/images/new")]},
        "hv1": {"held": [held(D)]},
        "hv3": {"held": []},
    }
    unknown, current, outdated = image_drift(found, [DEBIAN])
    assert unknown == {
        "host": "hv1", "state": "unknown", "path": "/images/x", "repository": "mirror.example/x:1", "version": D[:19],
        "digest": D, "wanted": "", "behind": 0, "users": [],
    }  # fmt: skip
    assert (current["host"], current["state"], current["behind"]) == ("hv2", "current", 0)
    assert outdated == {
        "host": "hv2", "state": "outdated", "path": "/images/old", "repository": "reg.example/debian", "version": "1",
        "digest": C, "wanted": "3", "behind": 1, "users": ["web-1"],
    }  # fmt: skip


def test_a_version_without_a_tag_is_named_by_its_digest() -> None:
    (row,) = image_drift({"hv1": {"held": [held(B)]}}, [DEBIAN])
    assert (row["version"], row["state"], row["behind"]) == (B[:19], "outdated", 1)


def test_newer_than_wanted_is_not_wanted() -> None:
    (row,) = image_drift({"hv1": {"held": [held(A)]}}, [catalog("1", v3=A, v1=C)])
    assert (row["state"], row["behind"]) == ("outdated", 0)


def test_nothing_is_wanted_of_an_empty_repository() -> None:
    (row,) = image_drift({"hv1": {"held": [held(A)]}}, [catalog()])
    assert row["state"] == "unknown"


@pytest.mark.parametrize("answer", [{}, {"unreachable": True}, None, "x"])
def test_a_host_that_did_not_answer(answer: Any) -> None:
    (row,) = image_drift({"hv1": answer}, [DEBIAN])
    assert (row["host"], row["state"], row["path"]) == ("hv1", "no answer", "")


@pytest.mark.parametrize(("found", "catalogs"), [([], []), ({}, {}), ({}, [{}]), ({}, ["x"])])
def test_what_is_no_answer(found: Any, catalogs: Any) -> None:
    with pytest.raises(AnsibleFilterError, match="^image_drift: "):
        image_drift(found, catalogs)
