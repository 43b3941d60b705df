# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record: what a finished image was made from, kept on the image's own inode.

A small JSON object in the extended attribute `user.imageops.record`, or where the file system has none in a
hidden sidecar that names device and inode. It is written on the partial file before the rename, so a name with a
record points at a finished file.
"""

from __future__ import annotations

import errno
import glob
import json
import os
from dataclasses import dataclass, field
from typing import Any

from ._errors import Conflict, NotFound
from ._files import Fingerprint, fingerprint, partial_path, publish, remove, write_bytes

SCHEMA = 1
ATTRIBUTE = "user.imageops.record"
# Attributes belong to who owns the file: what stands in them may be anything, also brackets without end.
_UNREADABLE = (OSError, ValueError, RecursionError)
_TEXTS, _OBJECTS = ("operation", "format", "digest", "tool"), ("source", "options", "made", "compacted")
_PATHS = (("source", "path"), ("options", "backing"), ("options", "backing_format"))
_NO_XATTR = {errno.ENOTSUP, errno.EPERM, errno.ENOSYS}
# What a file system says whose attributes are too small: ext4 holds one block of them.
_TOO_SMALL = {errno.ENOSPC, errno.E2BIG, errno.ERANGE}


@dataclass(frozen=True)
class Record:
    """What was done to make an image.

    `operation` is create, convert, overlay, clone ...; `source` names what it was made from (path and fingerprint);
    `options` are the declared options; `made` is the fingerprint (ino, size, mtime_ns) of the file when it was finished.
    `files` are the files beside it that belong to it, each with its name and fingerprint. `compacted` tells of the last
    compaction: its options, and what the file's fingerprint was after it.
    """

    operation: str
    format: str
    virtual_size: int
    source: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    digest: str = ""
    tool: str = ""
    made: dict[str, Any] = field(default_factory=dict)
    files: list[dict[str, Any]] = field(default_factory=list)
    compacted: dict[str, Any] = field(default_factory=dict)

    @property
    def dropped(self) -> list[dict[str, Any]]:
        """Path and fingerprint of the files that the image rested on before its chain was changed."""
        found = self.options.get("dropped")
        return [one for one in found if is_identity(one)] if isinstance(found, list) else []

    def as_dict(self) -> dict[str, Any]:
        told = {"schema": SCHEMA, **self.__dict__}
        return {key: value for key, value in told.items() if value or key not in ("files", "compacted")}


def _sidecar(path: str, inode: int) -> str:
    """The sidecar's name holds the inode, so that the one of new content never takes the place of the old one's."""
    return partial_path(path, suffix=f"-record-{inode}.json")


def publish_with_record(partial: str, path: str, record: Record, *, written: bool = False) -> None:
    """Put `record` on the finished file `partial`, then make `path` point at it; old or new at every moment."""
    write_record(partial, record, final=path, written=written)
    publish(partial, path)
    tidy_sidecars(path)


def write_record(path: str, record: Record, *, final: str = "", written: bool = False) -> None:
    """Put `record` on the file `path`, which has or will have the name `final` (default: `path` itself).

    One that was `written` to since it was made goes on counting as that.
    """
    found = os.stat(path)
    made = Fingerprint(found.st_ino, found.st_size, 0 if written else found.st_mtime_ns).as_dict()
    data = {**record.as_dict(), "made": made}
    try:
        os.setxattr(path, ATTRIBUTE, json.dumps(data, sort_keys=True).encode())
    except OSError as error:
        if error.errno not in _NO_XATTR | _TOO_SMALL:
            raise
        _drop_attribute(path)
        where = {"device": found.st_dev, "record": data}
        text = json.dumps(where, sort_keys=True).encode()
        write_bytes(_sidecar(final or path, found.st_ino), text, mode=0o644)


def stale_sidecars(path: str) -> list[str]:
    """Sidecars of content that `path` doesn't point at."""
    found = fingerprint(path)
    mine = _sidecar(path, found.ino if found else 0)
    return [one for one in glob.glob(glob.escape(partial_path(path, suffix="-record-")) + "*.json") if one != mine]


def tidy_sidecars(path: str) -> None:
    """Remove sidecars of content that `path` no longer points at."""
    for other in stale_sidecars(path):
        remove(other)


def _load(path: str) -> dict[str, Any] | None:
    try:
        loaded = json.loads(os.getxattr(path, ATTRIBUTE))
        return loaded if isinstance(loaded, dict) else None
    except _UNREADABLE:
        return _load_sidecar(path)


def read_own(path: str) -> bytes:
    """The content of a file of ours, nothing of one that somebody else put there; a FIFO can't hold us."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(handle, "rb") as stream:
        return stream.read(1 << 20) if os.fstat(handle).st_uid in (0, os.geteuid()) else b""


def _load_sidecar(path: str) -> dict[str, Any] | None:
    try:
        status = os.stat(path)
        loaded = json.loads(read_own(_sidecar(path, status.st_ino)))
        record = loaded["record"]
        same = (loaded["device"], record["made"]["ino"]) == (status.st_dev, status.st_ino)
    except (*_UNREADABLE, KeyError, TypeError):
        return None
    return record if same and isinstance(record, dict) else None


def read_record(path: str) -> Record | None:
    """The record on `path`, None when there is none that names this very file, and those beside it that belong to it.

    The record of a copy names another inode and doesn't count. Raises Conflict for a schema newer than ours.
    """
    loaded = _load(path)
    status = fingerprint(path)
    if loaded is None or status is None or not isinstance(loaded.get("schema"), int):
        return None
    if loaded["schema"] > SCHEMA:
        raise Conflict(
            f"{path} carries a record of schema {loaded['schema']}, and this version of imageops.fleet knows {SCHEMA}; "
            f"update the collection on the controller."
        )
    try:
        record = Record(**{key: value for key, value in loaded.items() if key in Record.__dataclass_fields__})
    except TypeError:
        return None
    return record if _is_sound(record) and record.made.get("ino") == status.ino and _is_whole(path, record) else None


def _is_sound(record: Record) -> bool:
    """Whether every field has the type that readers rely on."""
    values = record.__dict__
    typed = (
        all(isinstance(values[name], str) for name in _TEXTS)
        and all(isinstance(values[name], dict) for name in _OBJECTS)
        and isinstance(record.virtual_size, int)
        and not isinstance(record.virtual_size, bool)
    )
    named = isinstance(record.files, list) and all(_is_file_beside(one) for one in record.files)
    return typed and named and all(_is_name(values[name].get(key, "")) for name, key in _PATHS)


def _is_file_beside(value: Any) -> bool:
    name = value.get("name") if isinstance(value, dict) else None
    return isinstance(name, str) and _is_name(name) and name not in ("", ".", "..") and "/" not in name


def _beside(path: str, name: str) -> str:
    return os.path.join(os.path.dirname(os.path.realpath(path)), name)


def file_beside(path: str) -> dict[str, Any]:
    """How a record names the file `path` that belongs to an image in the same folder; raises NotFound when it is gone."""
    found = fingerprint(path)
    if found is None:
        raise NotFound(f"{path} is gone, and the image that it belongs to is useless without it.")
    return {"name": os.path.basename(path), **found.as_dict()}


def files_beside(path: str, record: Record | None) -> list[str]:
    """The paths of the files that belong to the image at `path`."""
    return [_beside(path, one["name"]) for one in (record.files if record else [])]


def _is_whole(path: str, record: Record) -> bool:
    """Whether every file that belongs to the image is there, and is the one that was made with it."""
    for one in record.files:
        found = fingerprint(_beside(path, one["name"]))
        if found is None or found.ino != one.get("ino"):
            return False
    return True


def is_identity(value: Any) -> bool:
    """Whether a value of a record is the path of a file, with or without its fingerprint."""
    return isinstance(value, dict) and bool(value.get("path")) and _is_name(value["path"])


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value


def untouched(path: str, record: Record | None) -> bool:
    """Whether `path` is, by size and mtime, still as it was when `record` was written."""
    found = fingerprint(path)
    if record is None or found is None or found.as_dict() != record.made:
        return False
    marks = ((one, fingerprint(_beside(path, one["name"]))) for one in record.files)
    return all(mark is not None and {"name": one["name"], **mark.as_dict()} == one for one, mark in marks)


def _drop_attribute(path: str) -> None:
    try:
        os.removexattr(path, ATTRIBUTE)
    except OSError as error:
        if error.errno not in _NO_XATTR | {errno.ENODATA, errno.ENOENT}:
            raise


def drop_record(path: str) -> None:
    """Remove the record of `path`, sidecar included."""
    _drop_attribute(path)
    remove(_sidecar(path, os.stat(path).st_ino))
