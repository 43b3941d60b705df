# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.tags import (
    ALIASES_TAG,
    is_version_tag,
    referrers_tag,
    require_version_tag,
    subject_of,
    version_tags,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption

DIGEST = "sha256:" + "0a" * 32


def test_the_tag_of_referrers() -> None:
    assert referrers_tag(DIGEST) == "sha256-" + "0a" * 32
    assert subject_of(referrers_tag(DIGEST)) == DIGEST


@pytest.mark.parametrize("tag", ["12", "sha256-12", "sha512-" + "0a" * 64, "sha256-" + "0A" * 32, "imageops-alias"])
def test_tags_of_people(tag: str) -> None:
    assert is_version_tag(tag)
    assert subject_of(tag) == ""
    require_version_tag(tag, option="image")


@pytest.mark.parametrize("tag", [ALIASES_TAG, referrers_tag(DIGEST)])
def test_tags_of_ours(tag: str) -> None:
    assert version_tags({tag: DIGEST, "12": DIGEST}) == {"12": DIGEST}
    with pytest.raises(InvalidOption, match=f"^image: the catalog keeps the tag '{tag}' for itself"):
        require_version_tag(tag, option="image")


def test_an_empty_text_is_no_tag() -> None:
    with pytest.raises(InvalidOption, match="^tags: an empty text is no tag"):
        require_version_tag("", option="tags")
