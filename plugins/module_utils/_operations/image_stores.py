# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The repositories that a task asks, each opened once."""

from __future__ import annotations

from typing import Any

from .._catalog.reference import Reference, parse_reference, parse_repository
from .._errors import InvalidOption, Unsupported
from .._registry.interface import Store
from .._registry.open import open_store
from .catalog_access import access_of
from .operation import Tools

_OPEN = "stores"


def repository_of(params: dict[str, Any], tools: Tools) -> tuple[Reference, Store]:
    """The repository that the option `repository` names."""
    reference = named_repository(params)
    return reference, _store(reference, params, tools)


def named_repository(params: dict[str, Any]) -> Reference:
    """What the option `repository` says; raises InvalidOption when it is missing."""
    if not params["repository"]:
        raise InvalidOption("repository: this names the repository that is meant; give it.")
    return parse_repository(params["repository"], option="repository")


def image_of(params: dict[str, Any], tools: Tools) -> tuple[Reference, Store]:
    """The image that the option `image` names, and the repository that holds it."""
    reference = parse_reference(params["image"], option="image")
    return reference, _store(reference, params, tools)


def require_writable(store: Store, *, option: str) -> None:
    """Raise Unsupported for a repository that can only be read."""
    if not store.writable:
        raise Unsupported(f"{option}: {store.where} can only be read; name its registry or its directory.")


def _store(reference: Reference, params: dict[str, Any], tools: Tools) -> Store:
    opened: dict[str, Any] = tools.forecast.setdefault(_OPEN, {})
    if reference.catalog not in opened:
        opened[reference.catalog] = open_store(reference, access_of(params), tools.clock)
    found: Store = opened[reference.catalog]
    return found
