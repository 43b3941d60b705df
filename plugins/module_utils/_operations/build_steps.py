# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a recipe as tasks write them: each of one kind, checked before anything is made, without its secrets."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

from .._errors import Conflict, InvalidOption, NotFound
from .._files import parse_mode

GROW = "grow"
LAST = "last"
HARDENING = ("no_core_dumps", "root_locked", "ssh_no_passwords", "ssh_no_root", "sysctl", "umask")
# What says nothing that a shell, a program's options or another line of a file could be made of.
_PACKAGE = re.compile(r"[A-Za-z0-9@][A-Za-z0-9@+._:=~/-]{0,254}")
_ACCOUNT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}\$?")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9@._:\\-]{0,254}")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?")
_PIECE = 1 << 20

Step = dict[str, Any]


@dataclass
class Steps:
    """The steps, one kind and its value each. `secrets` are texts by the names that stand in the steps for them."""

    steps: list[Step] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)

    def kinds(self) -> list[str]:
        return [next(iter(step)) for step in self.steps]

    @property
    def network(self) -> bool:
        """Whether one of them has a network."""
        return any("packages" in one or "upgrade" in one or one.get("run", {}).get("network") for one in self.steps)

    def value_of(self, kind: str) -> Any:
        """The value of the only step of this kind, None where there is none."""
        return next((step[kind] for step in self.steps if kind in step), None)


def read_steps(given: Sequence[Mapping[str, Any]]) -> Steps:
    """The steps of a recipe; raises InvalidOption, NotFound or Conflict, and names the step by its number from 1 on."""
    found = Steps()
    for number, one in enumerate(given, start=1):
        told = {kind: value for kind, value in one.items() if value is not None}
        where = f"steps: step {number}"
        if len(told) != 1:
            what = ", ".join(sorted(told)) or "none"
            raise InvalidOption(f"{where} must be of just one kind, and has: {what}; make each a step of its own.")
        ((kind, value),) = told.items()
        where = f"{where} ({kind})"
        found.steps.append({kind: _without_secrets(_READERS[kind](value, where), number, found.secrets)})
    if found.kinds().count(GROW) > 1:
        raise InvalidOption("steps: a disk grows once; leave one of the steps 'grow' out.")
    return found


def _without_secrets(value: Any, number: int, secrets: dict[str, str]) -> Any:
    """`value` with the names of its secrets in their place."""
    if not isinstance(value, dict):
        return value
    for option in ("secret", "password", "password_hash"):
        if value.get(option) is not None:
            name = f"step{number}.{option}"
            secrets[name], value[option] = value[option], name
    return value


def _names(pattern: re.Pattern[str]) -> Callable[[Any, str], Any]:
    def read(value: Any, where: str) -> Any:
        if not value:
            raise InvalidOption(f"{where}: nothing is named; give at least one, or leave the step out.")
        for name in value:
            _require(pattern, name, where)
        return list(value)

    return read


def _name(pattern: re.Pattern[str]) -> Callable[[Any, str], Any]:
    def read(value: Any, where: str) -> Any:
        return _require(pattern, value, where)

    return read


def _require(pattern: re.Pattern[str], value: str, where: str) -> str:
    if not pattern.fullmatch(value):
        raise InvalidOption(f"{where}: '{value[:80]}' can't be such a name; give a plain one.")
    return value


def _choice(choices: Sequence[str]) -> Callable[[Any, str], Any]:
    def read(value: Any, where: str) -> Any:
        wrong = [one for one in value if one not in choices]
        if wrong or not value:
            raise InvalidOption(f"{where}: '{', '.join(wrong)[:80]}' is none of {', '.join(choices)}.")
        return sorted(set(value))

    return read


def _flag(value: Any, where: str) -> bool:
    if not value:
        raise InvalidOption(f"{where}: only 'true' is a step; leave it out to do nothing.")
    return True


def guest_path(path: str, where: str) -> str:
    """The absolute path of a file in the guest, as it stands; raises InvalidOption for others, and for what climbs."""
    plain = os.path.normpath(path)
    if not path.startswith("/") or plain in ("/", "//") or ".." in path.split("/") or not path.isprintable():
        raise InvalidOption(f"{where}: '{path[:200]}' is not the absolute path of a file in the guest.")
    return "/" + plain.lstrip("/")


def _paths(value: Any, where: str) -> list[str]:
    if not value:
        raise InvalidOption(f"{where}: no path is given; give at least one, or leave the step out.")
    return [guest_path(path, where) for path in value]


def _file_options(value: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Destination, owner, group and mode of a file in the guest."""
    mode = value["mode"]
    if mode is not None:
        bits = parse_mode(mode) if isinstance(mode, str) else mode
        if isinstance(mode, bool) or not isinstance(bits, int) or not 0 <= bits <= 0o7777:
            raise InvalidOption(f"{where}: mode '{mode}' is none; give octal digits in quotes, such as '0640'.")
        mode = f"{bits:04o}"
    for option in ("owner", "group"):
        if value[option] is not None:
            _require(_ACCOUNT, value[option], where)
    return {"dest": guest_path(value["dest"], where), "owner": value["owner"], "group": value["group"], "mode": mode}


def _copy(value: Any, where: str) -> dict[str, Any]:
    source = value["src"]
    if not os.path.isabs(source):
        raise InvalidOption(f"{where}: src '{source[:200]}' is not an absolute path on the host.")
    found = _file_options(value, where)
    if os.path.isdir(source) and found["mode"]:
        raise InvalidOption(f"{where}: a folder's files keep their modes; leave mode out.")
    return {"src": source, **found, "digest": content_digest(source, where)}


def content_digest(path: str, where: str) -> str:
    """What tells one content of a file or folder on the host from another; raises NotFound or Conflict."""
    digest = hashlib.sha256()
    for name in [path, *_below(path)]:
        try:
            found = os.lstat(name) if name != path else os.stat(name)
        except FileNotFoundError:
            raise NotFound(f"{where}: there is no {name} on the host; give the path of what is to be copied.") from None
        kind = stat.S_IFMT(found.st_mode)
        if kind not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            raise Conflict(f"{where}: {name} is neither a file, a folder nor a symbolic link, and can't be copied.")
        size = found.st_size if kind == stat.S_IFREG else 0
        digest.update(repr((os.path.relpath(name, path), found.st_mode, size)).encode())
        if kind == stat.S_IFLNK:
            digest.update(os.fsencode(os.readlink(name)))
        if kind == stat.S_IFREG:
            _read_into(digest, name)
    return digest.hexdigest()


def _below(path: str) -> list[str]:
    """All names in the folder `path`, in one order."""
    found: list[str] = []
    for folder, folders, files in os.walk(path):
        folders.sort()
        found += [os.path.join(folder, name) for name in sorted([*folders, *files])]
    return found


def _read_into(digest: Any, path: str) -> None:
    with open(path, "rb") as stream:
        while piece := stream.read(_PIECE):
            digest.update(piece)


def _write(value: Any, where: str) -> dict[str, Any]:
    if (value["content"] is None) == (value["secret"] is None):
        raise InvalidOption(f"{where}: give either content, or secret for what nobody may see.")
    return {**_file_options(value, where), "content": value["content"], "secret": value["secret"]}


def _user(value: Any, where: str) -> dict[str, Any]:
    _require(_ACCOUNT, value["name"], where)
    for group in value["groups"] or ():
        _require(_ACCOUNT, group, where)
    if value["password"] is not None and value["password_hash"] is not None:
        raise InvalidOption(f"{where}: give either password or password_hash.")
    for option in ("password", "password_hash"):
        if any(not letter.isprintable() for letter in value[option] or ""):
            raise InvalidOption(f"{where}: {option} holds a line break or another letter that can't be typed.")
    if value["uid"] is not None and not 0 <= value["uid"] < 1 << 32:
        raise InvalidOption(f"{where}: uid {value['uid']} is no user's number; give 0 or more.")
    if ":" in (value["password_hash"] or ""):
        raise InvalidOption(f"{where}: password_hash holds a colon, which ends a field of /etc/shadow.")
    if value["shell"] is not None:
        guest_path(value["shell"], where)
    found = dict(value)
    found["groups"] = list(value["groups"] or ())
    return found


def _ssh_key(value: Any, where: str) -> dict[str, Any]:
    _require(_ACCOUNT, value["user"], where)
    keys = [key.strip() for key in value["keys"]]
    for key in keys:
        if len(key.split()) < 2 or not key.isprintable():
            raise InvalidOption(f"{where}: '{key[:60]}' is not a public key; give one line of a .pub file for each.")
    if not keys:
        raise InvalidOption(f"{where}: no key is given; give at least one, or leave the step out.")
    return {"user": value["user"], "keys": keys}


def _run(value: Any, where: str) -> dict[str, Any]:
    if not value["script"].strip():
        raise InvalidOption(f"{where}: the script is empty; give commands, or leave the step out.")
    return {"script": value["script"], "network": value["network"]}


def _service(value: Any, where: str) -> dict[str, Any]:
    _require(_SERVICE, value["name"], where)
    return {"name": value["name"], "state": value["state"]}


def _grow(value: Any, where: str) -> str:
    if value != LAST:
        raise InvalidOption(f"{where}: '{value}' can't grow where it is; give 'last', the last partition on the disk.")
    return LAST


_READERS: dict[str, Callable[[Any, str], Any]] = {
    "packages": _names(_PACKAGE),
    "remove_packages": _names(_PACKAGE),
    "upgrade": _flag,
    "copy": _copy,
    "write": _write,
    "delete": _paths,
    "user": _user,
    "ssh_key": _ssh_key,
    "run": _run,
    "service": _service,
    "timezone": _name(_ZONE),
    "hostname": _name(_HOST),
    "harden": _choice(HARDENING),
    GROW: _grow,
}
