# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The value that planning a definition gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .._hypervisor.xml import Element
from .._plan import Step


@dataclass(frozen=True)
class Definition:
    """`root` is the XML wanted, `steps` lead to it; `before` and `after` hold the declared facts."""

    root: Element
    steps: tuple[Step, ...]
    before: dict[str, Any]
    after: dict[str, Any]
    warnings: tuple[str, ...]
    reseeded: bool = False
