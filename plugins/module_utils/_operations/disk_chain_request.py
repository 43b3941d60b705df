# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one item of the module disk_chain declares, checked, in values that a job can carry."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption
from .._files import real_path, require_folder
from .._formats.names import canonical_format
from .long_work import bandwidth_of, check_timeout

_WAYS = ("depth", "backing", "commit")


@dataclass(frozen=True)
class Backing:
    """The declared backing file: real path, format (None: as recorded), the files that its own chain may use.

    `relative` says how the header names it; None leaves a right name as it is.
    """

    path: str
    format: str | None
    chain: tuple[str, ...]
    unsafe: bool
    relative: bool | None


@dataclass(frozen=True)
class ChainRequest:
    """The image and just one of `depth`, `backing` and `into`; `allowed` are the files that its chain may use."""

    path: str
    depth: int | None
    backing: Backing | None
    into: str | None
    keep: bool
    rewrite: bool
    allowed: tuple[str, ...]
    bandwidth: int | None
    verify: str

    @classmethod
    def carried(cls, values: dict[str, Any]) -> ChainRequest:
        """The request that a job was given."""
        backing = values["backing"]
        return cls(**{**values, "backing": Backing(**backing) if backing else None})


def read_request(params: dict[str, Any]) -> ChainRequest:
    """Check all that one item was given; no image is read. Raises InvalidOption or NotFound."""
    given = [way for way in _WAYS if params[way] is not None]
    if len(given) != 1:
        said = "none of them is" if not given else f"{' and '.join(given)} are"
        raise InvalidOption(f"{params['path']}: give just one of depth, backing and commit; {said} given.")
    check_timeout(params)
    if params["rewrite"] and params["depth"] != 1:
        raise InvalidOption("rewrite: has a meaning only with 'depth: 1'; leave it out.")
    path = _absolute(params["path"], option="path")
    require_folder(path, option="path")
    commit = params["commit"] or {}
    return ChainRequest(
        path=path,
        depth=_depth(params["depth"]),
        backing=_backing(params["backing"], path),
        into=_into(commit["into"], path) if commit else None,
        keep=bool(commit.get("keep")),
        rewrite=bool(params["rewrite"]),
        allowed=tuple(_absolute(name, option="chain") for name in params["chain"] or ()),
        bandwidth=bandwidth_of(params),
        verify=params["verify"],
    )


def _absolute(path: str, *, option: str) -> str:
    if not os.path.isabs(path):
        raise InvalidOption(f"{option}: '{path}' is not an absolute path; give one that starts with a slash.")
    return real_path(path)


def _depth(value: int | None) -> int | None:
    if value is not None and value < 1:
        raise InvalidOption(
            f"depth: a chain of {value} files can't be; give 1 for an image without a backing file, or more."
        )
    return value


def _backing(declared: dict[str, Any] | None, path: str) -> Backing | None:
    if declared is None:
        return None
    below = _absolute(declared["path"], option="backing.path")
    if below == path:
        raise InvalidOption(f"backing.path: {path} can't be its own backing file; give another path.")
    name = declared["format"]
    return Backing(
        path=below,
        format=canonical_format(name, option="backing.format") if name else None,
        chain=tuple(_absolute(other, option="backing.chain") for other in declared["chain"] or ()),
        unsafe=bool(declared["unsafe"]),
        relative=declared["relative"],
    )


def _into(into: str, path: str) -> str:
    real = _absolute(into, option="commit.into")
    if real == path:
        raise InvalidOption(f"commit.into: {path} can't be committed into itself; name a file below it.")
    return real
