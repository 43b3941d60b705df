# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owner, group and mode: what was declared, what is there, and giving them to new files before they have their name."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from typing import Any

from .._errors import InvalidOption
from .._files import parse_mode

NEW_MODE = 0o640
_KEEP = -1
# The kernel takes the largest number of 32 bits for "leave it as it is".
_MOST_ID = 2**32 - 2


def ownership_of(path: str) -> dict[str, Any]:
    """Owner, group and mode of `path`, as results show them."""
    found = os.stat(path)
    return shown(found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))


def check_ownership(*, owner: str | None, group: str | None, mode: str | int | None, path: str = "") -> dict[str, Any]:
    """What a new file (at `path`) gets; raises InvalidOption for a user, group or mode that doesn't exist."""
    uid, gid = _uid(owner), _gid(group)
    return shown(
        os.geteuid() if uid == _KEEP else uid,
        _new_group(path) if gid == _KEEP else gid,
        _mode(mode, default=NEW_MODE),
    )


def apply_to_new(path: str, *, owner: str | None, group: str | None, mode: str | int | None) -> None:
    """Give the finished but still hidden file `path` its owner, group and mode."""
    os.chown(path, _uid(owner), _gid(group))
    os.chmod(path, _mode(mode, default=NEW_MODE))


def wanted_ids(
    now: tuple[int, int, int], *, owner: str | None, group: str | None, mode: str | int | None
) -> tuple[int, int, int]:
    """User, group and permission bits that a file with those of `now` shall have."""
    uid, gid = (new if new != _KEEP else old for new, old in zip((_uid(owner), _gid(group)), now))
    return uid, gid, _mode(mode, default=now[2])


def shown(uid: int, gid: int, mode: int) -> dict[str, Any]:
    """User, group and permission bits as results show them."""
    return {"owner": _user_name(uid), "group": _group_name(gid), "mode": f"{mode:04o}"}


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _uid(owner: str | None) -> int:
    if owner is None:
        return _KEEP
    if str(owner).isdecimal():
        return _number(owner, option="owner")
    try:
        return pwd.getpwnam(owner).pw_uid
    except (KeyError, ValueError):
        raise InvalidOption(f"owner: there is no user '{owner}' on this host; create it, or give a number.") from None


def _gid(group: str | None) -> int:
    if group is None:
        return _KEEP
    if str(group).isdecimal():
        return _number(group, option="group")
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):
        raise InvalidOption(f"group: there is no group '{group}' on this host; create it, or give a number.") from None


def _number(value: str, *, option: str) -> int:
    text = str(value)
    if len(text) > 10 or int(text) > _MOST_ID:
        raise InvalidOption(f"{option}: {text[:40]} is too large for a number of this kind; the largest is {_MOST_ID}.")
    return int(text)


def _new_group(path: str) -> int:
    """The group of a new file: that of its folder where the folder passes it on."""
    folder = os.path.dirname(path)
    if folder:
        found = os.stat(folder)
        if found.st_mode & stat.S_ISGID:
            return found.st_gid
    return os.getegid()


def _mode(value: str | int | None, *, default: int) -> int:
    """Permission bits; YAML reads a bare 0640 as a number, which is then the bits themselves."""
    if value is None:
        return default
    number = value if isinstance(value, int) and not isinstance(value, bool) else None
    mode = parse_mode(value) if isinstance(value, str) else number
    if mode is None or not 0 <= mode <= 0o7777:
        raise InvalidOption(f"mode: '{value}' is not a mode; give octal digits in quotes, such as '0640'.")
    return mode
