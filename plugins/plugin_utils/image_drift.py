# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts hold of images, compared with what their catalogs have."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

CURRENT, OUTDATED, UNKNOWN, NO_ANSWER = "current", "outdated", "unknown", "no answer"


@dataclass(frozen=True)
class _Version:
    """A version of a repository; `behind` counts the newer ones that have a tag."""

    repository: str
    name: str
    wanted: str
    current: bool
    behind: int


def drift(held: Mapping[str, Any], catalogs: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per held file, by host and path; hosts whose answer is missing have one that says so.

    `held` is what image_info told on each host, `catalogs` what it told of each repository.
    """
    known = {digest: version for catalog in catalogs for digest, version in _versions(catalog)}
    rows = (row for host in sorted(held) for row in _rows(host, held[host], known))
    return list(rows)


def _versions(catalog: Mapping[str, Any]) -> Iterator[tuple[str, _Version]]:
    wanted = catalog["repository"]["wanted"] or {"digest": "", "tags": []}
    newer = 0
    for version in catalog["versions"]:
        current = version["digest"] == wanted["digest"]
        yield (
            version["digest"],
            _Version(catalog["repository"]["name"], _name(version), _name(wanted), current, 0 if current else newer),
        )
        newer += bool(version["tags"])


def _name(version: Mapping[str, Any]) -> str:
    """The tags, or the beginning of the digest."""
    return ", ".join(version["tags"]) or version["digest"][:19]


def _rows(host: str, told: Any, known: Mapping[str, _Version]) -> Iterator[dict[str, Any]]:
    files = told.get("held") if isinstance(told, Mapping) else None
    if files is None:
        yield _row(host, NO_ANSWER)
        return
    for file in sorted(files, key=lambda each: str(each["path"])):
        version = known.get(file["digest"])
        more = {"path": file["path"], "digest": file["digest"], "users": [user["name"] for user in file["users"]]}
        if version is None:
            yield _row(host, UNKNOWN, **more, repository=file["reference"], version=file["digest"][:19])
        else:
            yield _row(
                host,
                CURRENT if version.current else OUTDATED,
                **more,
                repository=version.repository,
                version=version.name,
                wanted=version.wanted,
                behind=version.behind,
            )


def _row(host: str, state: str, **fields: Any) -> dict[str, Any]:
    empty = {"path": "", "repository": "", "version": "", "digest": "", "wanted": "", "behind": 0, "users": []}
    return {"host": host, "state": state, **empty, **fields}
