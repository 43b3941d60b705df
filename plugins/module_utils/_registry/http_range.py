# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request's Range means (RFC 9110, 14.2), for a server."""

from __future__ import annotations

import re

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)


class NotSatisfiable(Exception):
    """No byte of the file is asked for."""


def asked_range(header: str, size: int | None) -> tuple[int, int] | None:
    """Offset and length; None for the whole, also where several parts are asked for at once. A `size` may be unknown.

    Raises NotSatisfiable.
    """
    found = _RANGE.fullmatch(header.strip())
    if not found or not (found[1] or found[2]):
        return None
    if not found[1]:
        return _last(int(found[2]), size)
    start = int(found[1])
    if found[2]:
        end = int(found[2])
    elif size is None:
        return None
    else:
        end = size - 1
    if found[2] and end < start:
        return None
    if size is not None and start >= size:
        raise NotSatisfiable
    return start, (end if size is None else min(end, size - 1)) - start + 1


def _last(count: int, size: int | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if not count or not size:
        raise NotSatisfiable
    return max(0, size - count), min(count, size)
