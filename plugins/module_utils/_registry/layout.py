# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog in a directory: an OCI image layout (OCI image specification 1.1, image-layout.md).

Blobs are written beside their name and renamed when they are whole and flushed; index.json, which names what is published, last. So
a reader sees the catalog of before or of after, whatever kills a writer.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from .._catalog.digest import Descriptor, digest_of
from .._catalog.image import MOST_MANIFEST
from .._catalog.media_types import INDEX, INDEXES
from .._catalog.tags import subject_of
from .._errors import NotFound, TransferError, Unsupported
from .._faults import fault_point
from .._jobs.clock import Clock
from .layout_files import BlobFolder
from .layout_garbage import is_listed_child, reachable, sweep
from .layout_index import Entry, LayoutIndex, entry_of, require_named, with_tag, without_tag
from .layout_locks import LOCK, LayoutLock
from .layout_manifest import require_blobs
from .listed import ListedManifests
from .referrers import index_of, listed_in, referrer_of


class LayoutStore(ListedManifests):
    """The repository at `path`; made by the first write."""

    writable = True

    def __init__(self, path: str, *, clock: Clock | None = None) -> None:
        super().__init__(f"dir:{path}")
        self._path = path
        self._clock = clock or Clock()
        self._blobs = BlobFolder(path)
        self._index = LayoutIndex(path, self._clock)
        self._lock = LayoutLock(path, LOCK, self._clock)
        self._made = self._prunes = False

    def _read_manifest(self, digest: str) -> bytes:
        size = self.blob_size(digest)
        if size is None:
            raise NotFound(f"{self.where} has no blob {digest}.")
        return self.read_blob(digest, 0, min(size, MOST_MANIFEST + 1))

    def read_blob(self, digest: str, offset: int, length: int) -> bytes:
        """Just these bytes of a blob."""
        return self._blobs.read(digest, offset, length)

    def blob_size(self, digest: str) -> int | None:
        """Size of a blob that is there."""
        try:
            status = self._blobs.status(digest)
        except FileNotFoundError:
            return None
        return None if status is None else status.st_size

    def write_blob(self, data: bytes, digest: str) -> None:
        """Keep a blob, durably."""
        self._make()
        self._blobs.write(digest, data)

    def write_blob_file(self, path: str, digest: str, size: int) -> None:
        """Keep the content of a file, durably."""
        self._make()
        self._blobs.write_file(digest, path, size)

    def write_manifest(
        self, data: bytes, media_type: str, *, tag: str = "", instead_of: str | None = None
    ) -> Descriptor:
        """Keep a manifest whose blobs are there, and let `tag` point at it."""
        if len(data) > MOST_MANIFEST:
            raise Unsupported(
                f"{self.where}: the manifest has {len(data)} bytes, and at most {MOST_MANIFEST} are read."
            )
        found = referrer_of(data, media_type)
        require_blobs(data, self.blob_size, where=self.where)
        self._make()
        # Without annotations: those of a descriptor in index.json are about the entry.
        plain = Descriptor(media_type, found.digest, found.size, {}, found.artifact_type)
        with self._index.changing() as entries:
            if instead_of is not None:
                require_named(entries, tag, (instead_of, found.digest), where=self.where)
            self._blobs.write(found.digest, data)
            fault_point("catalog:before-index")
            entries[:] = with_tag(entries, entry_of(plain.as_dict(), self.where), tag)
        return plain

    def remove_tag(self, tag: str) -> None:
        """Forget a tag; what it named stays listed."""
        if any(entry.tag == tag for entry in self._entries()):
            with self._index.changing() as entries:
                entries[:] = without_tag(entries, tag)

    def remove_manifest(self, digest: str) -> None:
        """Forget a manifest and all tags that point at it."""
        if not os.path.isdir(self._blobs.path):
            return
        with self._index.changing() as entries:
            entries[:] = [entry for entry in entries if entry.digest != digest]
            for entry in list(entries):
                if subject_of(entry.tag):
                    self._leave_out(entries, entry, digest)
        with self._index.changing() as entries:
            indexes = [entry.descriptor for entry in entries if entry.descriptor.media_type in INDEXES]
            listed = any(entry.digest == digest for entry in entries)
            if not listed and not is_listed_child(digest, indexes, self._blobs):
                self._blobs.remove(digest)

    def _leave_out(self, entries: list[Entry], entry: Entry, digest: str) -> None:
        """Take a manifest out of an index that stands for the referrers API."""
        try:
            listed = listed_in(self._manifest_of(entry.digest), where=self.where)
        except (NotFound, TransferError):
            return
        rest = [one for one in listed if one.digest != digest]
        if len(rest) == len(listed):
            return
        entries[:] = without_tag(entries, entry.tag)
        if rest:
            data = index_of(rest)
            self._blobs.write(digest_of(data), data)
            new = Descriptor(INDEX, digest_of(data), len(data))
            entries[:] = with_tag(entries, entry_of(new.as_dict(), self.where), entry.tag)

    def created(self, digest: str) -> float | None:
        """When a manifest was written here."""
        status = self._blobs.status(digest) if os.path.isdir(self._path) else None
        return None if status is None else status.st_mtime

    @contextlib.contextmanager
    def publishing(self) -> Iterator[object]:
        """Held while blobs and manifests are written."""
        self._make()
        with self._lock.shared():
            yield self

    @contextlib.contextmanager
    def pruning(self) -> Iterator[object]:
        """Held while things are removed."""
        if not os.path.isdir(self._path) or self._prunes:
            yield self
            return
        with self._lock.exclusive():
            self._prunes = True
            try:
                yield self
            finally:
                self._prunes = False

    def collect_garbage(self, *, grace: float, remove: bool = True) -> int:
        """Remove blobs that nothing names any more and that are older than `grace` seconds; bytes freed."""
        with self.pruning() if remove else contextlib.nullcontext():
            kept = reachable([entry.descriptor for entry in self._entries()], self._blobs)
            return sweep(self._blobs, kept=kept, oldest=self._clock.time() - grace, remove=remove)

    def close(self) -> None:
        """Nothing is open between calls."""

    def _entries(self) -> list[Entry]:
        return self._index.entries()

    def _make(self) -> None:
        if not self._made:
            self._index.require_free()
            self._blobs.make()
            self._index.make()
            self._made = True
