# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Holding a guest's file systems still for the moment at which its disks are taken."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from .._hypervisor.domain import Domain
from .operation import Tools
from .pull_source import Source
from .thaw_guard import frozen, require_freezable, require_limit


@dataclass
class Still:
    """`seconds` is how long the guest was held, None when that wasn't asked for."""

    source: Source
    limit: int
    tools: Tools
    seconds: float | None = None

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """For the time of the block; raises TimedOut when that took too long for what was made in it to be consistent."""
        if not self.limit:
            yield
            return
        domain = self.source.domain(self.tools.hypervisor(self.source.uri))
        with frozen(domain, limit=self.limit, tools=self.tools) as freeze:
            yield
        freeze.require_held()
        self.seconds = freeze.seconds


def require_holdable(domain: Domain, *, limit: int) -> None:
    """Raise what `held` would raise before it begins."""
    require_limit(limit, option="quiesce_timeout")
    if domain.active:
        require_freezable(domain)
