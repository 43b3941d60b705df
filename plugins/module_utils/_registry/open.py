# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The store that a reference names."""

from __future__ import annotations

from .._catalog.reference import DIRECTORY, REGISTRY, Reference
from .._errors import Unsupported
from .._jobs.clock import Clock
from .interface import Store, StoreAccess


def open_store(reference: Reference, access: StoreAccess, clock: Clock | None = None) -> Store:
    """The repository of `reference`; nothing is asked yet. Who opens it closes it."""
    if reference.home == DIRECTORY:
        from .layout import LayoutStore

        return LayoutStore(reference.place, clock=clock)
    if reference.home == REGISTRY:
        from .distribution import RegistryStore

        return RegistryStore(reference.place, reference.repository, access, clock=clock)
    raise Unsupported(f"{reference.catalog} is not read yet.")
