# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A file that a pull is to replace is used by nobody, neither when that is planned nor when it is done."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from .._errors import InUse
from .image_pull_request import PullRequest
from .operation import Tools


def require_unused(request: PullRequest, tools: Tools) -> None:
    """Raise InUse when anything uses the file that is there."""
    from . import usage

    with _advising(request):
        usage.require_unused(request.dest, tools, search_paths=request.search_paths)


@contextlib.contextmanager
def unused(request: PullRequest, before: dict[str, Any] | None) -> Iterator[None]:
    """Held while the new file takes the name; raises InUse when the old one, which was `before`, came into use meanwhile."""
    from .replacing import replacing

    with _advising(request), replacing(request.dest, before, search_paths=request.search_paths):
        yield


@contextlib.contextmanager
def _advising(request: PullRequest) -> Iterator[None]:
    try:
        yield
    except InUse as error:
        name = f"NAME-{{digest}}.{request.format}"
        way = f"Give each version a name of its own, such as {os.path.join(os.path.dirname(request.dest), name)}, and go over to it."
        error.args = (f"dest: {error} {way}",)
        raise
