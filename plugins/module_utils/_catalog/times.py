# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Times as images tell them (RFC 3339), and ages as people write them."""

from __future__ import annotations

import datetime
import re

from .._errors import InvalidOption

_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGE = re.compile(r"(\d{1,9})\s*([smhdw]?)", re.ASCII)
# RFC 3339, section 5.6; other tools write fractions of a second, also finer ones than Python reads.
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d{1,12})?(?:[Zz]|([+-]\d\d:\d\d))", re.ASCII)

# Year 10000, which the text of a time can't hold. With an offset the text of a year before may still mean it.
_END = 253402300800


def format_time(seconds: float) -> str:
    """Seconds since the epoch as RFC 3339 in UTC."""
    return datetime.datetime.fromtimestamp(int(seconds), datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_time(text: str) -> float | None:
    """Seconds since the epoch, None for what is no time, or none that `format_time` could tell."""
    found = _TIME.fullmatch(text)
    if not found:
        return None
    day, time, fraction, offset = found.groups()
    try:
        whole = datetime.datetime.fromisoformat(f"{day}T{time}{offset or '+00:00'}").timestamp()
    except (ValueError, OverflowError):
        return None
    seconds = whole + float(fraction or 0)
    return seconds if 0 <= seconds < _END else None


def parse_age(value: str | int, *, option: str) -> float:
    """Seconds of `30d`, `12h`, `2w`, `90m` or `3600`; raises InvalidOption for what is no age."""
    found = _AGE.fullmatch(str(value).strip())
    if not found:
        raise InvalidOption(
            f"{option}: '{value}' is no length of time; give a number with s, m, h, d or w, such as 30d."
        )
    return float(int(found.group(1)) * _UNITS[found.group(2)])
