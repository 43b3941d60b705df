# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest
from ansible_collections.imageops.fleet.plugins.module_utils._catalog.reference import (
    Reference,
    parse_reference,
    parse_repository,
)
from ansible_collections.imageops.fleet.plugins.module_utils._errors import InvalidOption

DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("registry.example:5000/team/debian:12", Reference("registry", "registry.example:5000", "team/debian", "12")),
        ("localhost/debian", Reference("registry", "localhost", "debian")),
        ("[::1]:5000/a", Reference("registry", "[::1]:5000", "a")),
        (f"r.example/a@{DIGEST}", Reference("registry", "r.example", "a", "", DIGEST)),
        (f"r.example/a:1@{DIGEST}", Reference("registry", "r.example", "a", "1", DIGEST)),
        ("dir:/srv/images/debian:12", Reference("dir", "/srv/images/debian", tag="12")),
        ("dir:/srv/images/../debian/", Reference("dir", "/srv/debian")),
        ("dir://srv/debian:12", Reference("dir", "/srv/debian", tag="12")),
        ("dir:///srv//debian", Reference("dir", "/srv/debian")),
        ("https://images.example/a/debian:12", Reference("web", "https://images.example/a/debian", tag="12")),
        ("http://images.example:8080/debian", Reference("web", "http://images.example:8080/debian")),
    ],
)
def test_references(text: str, found: Reference) -> None:
    assert parse_reference(text, option="image") == found


@pytest.mark.parametrize(
    "text",
    ["registry.example:5000/team/debian:12", f"r.example/a:1@{DIGEST}", "dir:/srv/debian:12", "https://i.example/d:12"],
)
def test_a_reference_reads_as_it_was_written(text: str) -> None:
    assert str(parse_reference(text, option="image")) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names no image"),
        ("a b/c", "names no image"),
        ("r.example/a\n", "names no image"),
        ("debian:12", "names no registry"),
        ("team/debian:12", "names no registry"),
        ("r.example/Team/debian", "no name of a repository"),
        ("r.example/a//b", "no name of a repository"),
        ("r.example/../b", "no name of a repository"),
        ("r.example/a:-1", "is no tag"),
        ("r.example/a:" + "1" * 129, "is no tag"),
        ("r.example/a@sha256:12", "no sha256 digest"),
        ("r.example/a@md5:" + "a" * 32, "no sha256 digest"),
        ("dir:images/debian:12", "absolute path"),
        ("dir:/:12", "absolute path"),
        ("dir://:12", "absolute path"),
        ("dir:/srv/../..:12", "absolute path"),
        ("dir://srv/..", "absolute path"),
        ("https://i.example", "no folder of a web server"),
        ("https://user:secret@i.example/debian", "digest"),
    ],
)
def test_what_names_no_image(text: str, said: str) -> None:
    with pytest.raises(InvalidOption, match=said):
        parse_reference(text, option="image")


def test_a_repository_has_no_tag() -> None:
    assert parse_repository("r.example/a", option="repository").catalog == "r.example/a"
    for text in ("r.example/a:1", f"r.example/a@{DIGEST}"):
        with pytest.raises(InvalidOption, match="leave out tag and digest"):
            parse_repository(text, option="repository")


def test_the_version_of_a_reference() -> None:
    assert parse_reference("r.example/a", option="image").version == "latest"
    assert parse_reference(f"r.example/a:1@{DIGEST}", option="image").version == DIGEST
    assert str(parse_reference("r.example/a:1", option="image").at(digest=DIGEST)) == f"r.example/a@{DIGEST}"
