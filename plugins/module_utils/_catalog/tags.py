# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tags that name no version of an image: the list of aliases, and what stands for the referrers API (OCI distribution specification
1.1, "Referrers tag schema").
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from .._errors import InvalidOption

ALIASES_TAG = "imageops-aliases"
_REFERRERS = re.compile(r"sha256-([0-9a-f]{64})")


def referrers_tag(digest: str) -> str:
    """The tag of the index that names the manifests whose subject is `digest`."""
    return digest.replace(":", "-", 1)


def subject_of(tag: str) -> str:
    """The digest whose referrers an index with this tag names, empty for another tag."""
    found = _REFERRERS.fullmatch(tag)
    return f"sha256:{found.group(1)}" if found else ""


def is_version_tag(tag: str) -> bool:
    """Whether people give that tag to images."""
    return tag != ALIASES_TAG and not subject_of(tag)


def version_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those of a repository's tags that people gave to images."""
    return {tag: digest for tag, digest in tags.items() if is_version_tag(tag)}


def require_version_tag(tag: str, *, option: str) -> None:
    """Raise InvalidOption for no tag at all, and for one that the catalog keeps for itself."""
    if not tag:
        raise InvalidOption(f"{option}: an empty text is no tag; give one, or leave it out.")
    if not is_version_tag(tag):
        raise InvalidOption(f"{option}: the catalog keeps the tag '{tag}' for itself; give another one.")
