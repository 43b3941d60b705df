# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""index.json of an OCI image layout: which manifests a catalog lists, under which tags.

A tag is the annotation org.opencontainers.image.ref.name of an entry. A manifest that lost its last tag stays listed without one until
it is removed. What we don't know in an entry stays as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .._catalog.digest import Descriptor, read_descriptor
from .._catalog.image import MOST_MANIFEST, load_manifest
from .._catalog.media_types import INDEX
from .._catalog.tags import is_version_tag
from .._errors import Conflict, TransferError, Unsupported
from .._files import is_partial, write_bytes
from .._jobs.clock import Clock
from .layout_files import FILE_MODE, read_below
from .layout_locks import INDEX_LOCK, LOCK, LayoutLock

NAME = "index.json"
HEADER = "oci-layout"
_REF_NAME = "org.opencontainers.image.ref.name"
_VERSION = "1.0.0"


@dataclass(frozen=True)
class Entry:
    """A listed manifest; `told` is the entry as it stands in the file."""

    descriptor: Descriptor
    told: Mapping[str, Any]

    @property
    def digest(self) -> str:
        return self.descriptor.digest

    @property
    def tag(self) -> str:
        return self.descriptor.annotations.get(_REF_NAME, "")

    def tagged(self, tag: str) -> Entry:
        """The same manifest under another tag, or none."""
        annotations = {name: text for name, text in self.descriptor.annotations.items() if name != _REF_NAME}
        if tag:
            annotations[_REF_NAME] = tag
        told = {name: value for name, value in self.told.items() if name != "annotations"}
        return entry_of({**told, **({"annotations": annotations} if annotations else {})}, NAME)


def entry_of(told: Any, where: str) -> Entry:
    """The entry that `told` is; raises TransferError."""
    return Entry(read_descriptor(told, where=where), told)


def entries_in(found: Mapping[str, Any], where: str) -> list[Entry]:
    """What an index.json lists; raises TransferError."""
    listed = found.get("manifests")
    if not isinstance(listed, list):
        raise TransferError(f"{where}: the list of manifests is none.")
    return [entry_of(told, where) for told in listed]


def with_tag(entries: Iterable[Entry], new: Entry, tag: str) -> list[Entry]:
    """The list in which `tag` names `new`; without a tag `new` is just listed."""
    known = next((entry for entry in entries if entry.digest == new.digest), new)
    return _tidy([*(without_tag(entries, tag) if tag else entries), known.tagged(tag)])


def without_tag(entries: Iterable[Entry], tag: str) -> list[Entry]:
    """The list without `tag`. What it named stays; but not a list of ours, of which only the newest counts."""
    kept = is_version_tag(tag)
    return _tidy(entry.tagged("") if entry.tag == tag else entry for entry in entries if kept or entry.tag != tag)


def require_named(entries: Iterable[Entry], tag: str, digests: Container[str], *, where: str) -> None:
    """Raise Conflict unless `tag` names one of `digests`, where an empty one is nothing."""
    found = next((entry.digest for entry in entries if entry.tag == tag), "")
    if found not in digests:
        raise Conflict(
            f"{where}: somebody else changed what the tag '{tag}' names meanwhile; run the task again.", digest=found
        )


def _tidy(entries: Iterable[Entry]) -> list[Entry]:
    """Each manifest once without a tag, and only when it has none."""
    found = list(entries)
    seen = {(entry.digest, "") for entry in found if entry.tag}
    kept = []
    for entry in found:
        if (entry.digest, entry.tag) not in seen:
            seen.add((entry.digest, entry.tag))
            kept.append(entry)
    return kept


class LayoutIndex:
    """The file index.json of the layout at `path`."""

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = path
        self._where = os.path.join(path, NAME)
        self._lock = LayoutLock(path, INDEX_LOCK, clock)
        self._read: tuple[tuple[int, ...], list[Entry]] = ((), [])

    def entries(self) -> list[Entry]:
        """What is listed; nothing when the layout isn't there yet. The file is read when it is another one than before."""
        state, read = self._state(), self._read
        if not state or state != read[0]:
            read = self._read = (state, entries_in(self._load(), self._where))
        return list(read[1])

    def _state(self) -> tuple[int, ...]:
        """What tells one version of the file from the next."""
        try:
            found = os.lstat(self._where)
        except FileNotFoundError:
            return ()
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)

    def _load(self) -> dict[str, Any]:
        try:
            data = read_below(self._path, NAME, most=MOST_MANIFEST)
        except FileNotFoundError:
            return {"schemaVersion": 2, "mediaType": INDEX, "manifests": []}
        self._require_layout()
        return load_manifest(data, where=self._where)

    def _require_layout(self) -> None:
        try:
            header = json.loads(read_below(self._path, HEADER, most=4096))
        except (FileNotFoundError, ValueError, RecursionError):
            header = None
        version = header.get("imageLayoutVersion") if isinstance(header, dict) else None
        if version != _VERSION:
            raise Unsupported(
                f"{self._path} is no OCI image layout of version {_VERSION}: its file {HEADER} is missing or tells another one."
            )

    @contextlib.contextmanager
    def changing(self) -> Iterator[list[Entry]]:
        """The list, to be changed in place; it is written when it was. Others that change it wait meanwhile."""
        with self._lock.exclusive():
            found = self._load()
            entries = entries_in(found, self._where)
            before = list(entries)
            yield entries
            if entries != before:
                self._write({**found, "manifests": [entry.told for entry in entries]})

    def require_free(self) -> None:
        """Raise Conflict when the folder is there and used for something else."""
        if os.path.exists(self._where) or not os.path.isdir(self._path):
            return
        if strange := sorted(name for name in os.listdir(self._path) if not _is_ours(name)):
            raise Conflict(
                f"{self._path} holds '{strange[0]}' and is no OCI image layout; give an empty folder, or one that does not exist."
            )

    def make(self) -> None:
        """Write what makes a folder a layout, when it is missing."""
        if os.path.exists(self._where):
            return
        with self._lock.exclusive():
            if not os.path.exists(self._where):
                header = json.dumps({"imageLayoutVersion": _VERSION}).encode()
                write_bytes(os.path.join(self._path, HEADER), header, mode=FILE_MODE)
                self._write(self._load())

    def _write(self, found: Mapping[str, Any]) -> None:
        data = json.dumps(found, separators=(",", ":")).encode()
        if len(data) > MOST_MANIFEST:
            raise Unsupported(
                f"{self._where} would have {len(data)} bytes, and at most {MOST_MANIFEST} are read; prune the catalog."
            )
        write_bytes(self._where, data, mode=FILE_MODE, alone=True)


def _is_ours(name: str) -> bool:
    return name in ("blobs", HEADER, NAME, INDEX_LOCK, LOCK, "lost+found") or is_partial(name)
