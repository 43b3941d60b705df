# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Safe is relative to what was declared: an image is safe when every other file that it reads was."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .chain import Link, backing_path, follows
from .facts import Finding

REFUSED = ("unsafe", "error")
# Findings that say no more than that a file is read: gone when that file was declared.
DECLARABLE = ("backing-file", "data-file", "extent-file", "parent-file")


@dataclass(frozen=True)
class Verdict:
    """Whether an engine may open the chain, and what speaks against it."""

    safe: bool
    findings: tuple[tuple[str, Finding], ...]

    @property
    def refusals(self) -> tuple[tuple[str, Finding], ...]:
        """The findings that make it unsafe, with the path of their layer."""
        return tuple((path, found) for path, found in self.findings if found.severity in REFUSED)


def verdict(
    chain: Sequence[Link], *, allowed_backing: Collection[str] = (), allowed_real: frozenset[str] = frozenset()
) -> Verdict:
    """Judge a chain; allowed_backing are the paths of files that the caller or our record named.

    allowed_real are such paths that are real ones already: who judges thousands of chains resolves them once.
    """
    allowed = allowed_real.union(map(os.path.realpath, allowed_backing)) if allowed_backing else allowed_real
    kept = [
        (link.path, found) for link in chain for found in link.facts.findings if not _declared(link, found, allowed)
    ]
    return Verdict(safe=not any(found.severity in REFUSED for _where, found in kept), findings=tuple(kept))


def refusals(chain: Sequence[Link], *, allowed_backing: Collection[str] = ()) -> list[Finding]:
    """What speaks against letting an engine open the chain; empty when it is safe."""
    return [found for _where, found in verdict(chain, allowed_backing=allowed_backing).refusals]


def _declared(link: Link, found: Finding, allowed: Collection[str]) -> bool:
    """A file that was declared is no finding any more; everything else stays."""
    return (
        found.rule in DECLARABLE
        and bool(found.file)
        and follows(str(found.file))
        and os.path.realpath(backing_path(link.path, str(found.file))) in allowed
    )
