# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store that a reference names."""

from __future__ import annotations

from dataclasses import replace

from .._catalog.reference import DIRECTORY, REGISTRY, Reference
from .._jobs.clock import Clock
from .interface import Store, StoreAccess

# A mirror is to save time.
_MIRROR_ATTEMPTS = 2


def open_store(reference: Reference, access: StoreAccess, clock: Clock | None = None) -> Store:
    """The repository of `reference`, with its mirrors; nothing is asked yet. Who opens it closes it."""
    origin = _opened(reference, access, clock)
    if not access.mirrors:
        return origin
    from .mirrors import MirroredStore

    return MirroredStore(origin, [_mirror(text, reference, access, clock) for text in access.mirrors])


def _opened(reference: Reference, access: StoreAccess, clock: Clock | None) -> Store:
    if reference.home == DIRECTORY:
        from .layout import LayoutStore

        return LayoutStore(reference.place, clock=clock)
    if reference.home == REGISTRY:
        from .distribution import RegistryStore

        return RegistryStore(reference.place, reference.repository, access, clock=clock)
    from .web import WebStore

    return WebStore(reference.place, access, clock=clock)


def _mirror(text: str, reference: Reference, access: StoreAccess, clock: Clock | None) -> Store:
    """A mirror: a registry where the repository has the same name, or a layout. It never gets the password."""
    if text.startswith("dir:"):
        from .layout import LayoutStore

        return LayoutStore(text[len("dir:") :], clock=clock)
    scheme, _slashes, place = text.partition("://")
    stranger = replace(access, username="", password="", plain_http=scheme == "http", mirrors=())
    if reference.home == REGISTRY and "/" not in place:
        from .distribution import RegistryStore

        return RegistryStore(place, reference.repository, stranger, clock=clock, attempts=_MIRROR_ATTEMPTS)
    from .web import WebStore

    return WebStore(text, stranger, clock=clock, attempts=_MIRROR_ATTEMPTS)
