# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python libraries that are no part of Python: where else they may be than in the distribution's folders, and that one is missing."""

from __future__ import annotations

import sys

from ._errors import MissingLibrary
from ._files import STATE_DIR

# The role hypervisor installs libraries there that the distribution does not package.
LIBRARY_DIR = f"{STATE_DIR}/python"


def use_own_libraries() -> None:
    """Let what the role hypervisor installed be imported, after what the distribution has."""
    if LIBRARY_DIR not in sys.path:
        sys.path.append(LIBRARY_DIR)


def missing_library(name: str, ways: str, *, option: str = "") -> MissingLibrary:
    """The error for a library that can't be imported; `ways` are those besides its package."""
    from ._packages import package

    begin = f"{option}: the" if option else "The"
    return MissingLibrary(
        f"{begin} Python library {name} is not installed for the interpreter that runs this module; install the package {package(name)}, {ways}."
    )
