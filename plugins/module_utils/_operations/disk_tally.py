# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many images a query looked at: safe and not, by format, and by the rules of their findings."""

from __future__ import annotations

from collections import Counter
from typing import Any

from .._formats.safety import Verdict
from .operation import Tools

IMAGES, FORMATS, RULES = "images", "formats", "rules"


def count(tally: Counter[tuple[str, str]], form: str, judged: Verdict) -> None:
    """Count one image; `form` is empty when it could not be read. A rule counts once, however many findings have it."""
    tally[IMAGES, "safe" if judged.safe else "unsafe"] += 1
    if form:
        tally[FORMATS, form] += 1
    tally.update({(RULES, found.rule) for _where, found in judged.findings})


def summary(tools: Tools) -> dict[str, Any]:
    """The counts as the result shows them."""
    told = {group: _group(tools.tally, group) for group in (IMAGES, FORMATS, RULES)}
    safe, unsafe = (told[IMAGES].get(name, 0) for name in ("safe", "unsafe"))
    return {
        "summary": {
            "images": safe + unsafe,
            "safe": safe,
            "unsafe": unsafe,
            "formats": told[FORMATS],
            "rules": told[RULES],
        }
    }


def _group(tally: Counter[tuple[str, str]], group: str) -> dict[str, int]:
    return {name: number for (kind, name), number in sorted(tally.items()) if kind == group}
