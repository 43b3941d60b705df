# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A catalog with mirrors, which are asked first for what has a digest. One that fails, or lies, isn't asked any more.

Tags, referrers and what is written are the catalog's own: a mirror may be behind, and could claim anything of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Callable, TypeVar

from .._catalog.digest import Descriptor, is_digest
from .._errors import ImageOpsError, NotFound
from .interface import Store

_Result = TypeVar("_Result")


class MirroredStore:
    """`origin` with `mirrors`; all of one repository."""

    def __init__(self, origin: Store, mirrors: Sequence[Store]) -> None:
        self.where = origin.where
        self.writable = origin.writable
        self._origin = origin
        self._mirrors = list(mirrors)
        self._opened = (origin, *mirrors)
        self._served: dict[str, Store] = {}
        self.left: dict[str, str] = {}
        """Mirrors that aren't asked any more, and why."""

    def _asked(self, digest: str, ask: Callable[[Store], _Result]) -> _Result:
        """What the first mirror gives that has it, else the catalog itself."""
        for mirror in list(self._mirrors):
            try:
                found = ask(mirror)
            except NotFound:
                continue
            except (ImageOpsError, OSError) as error:
                self._leave(mirror, str(error))
                continue
            self._served[digest] = mirror
            return found
        self._served.pop(digest, None)
        return ask(self._origin)

    def _leave(self, mirror: Store, why: str) -> None:
        self.left[mirror.where] = why
        with contextlib.suppress(ValueError):
            self._mirrors.remove(mirror)

    def doubt(self, digest: str) -> bool:
        """Whether what was read of a blob came from a mirror; it isn't asked any more."""
        mirror = self._served.get(digest)
        if mirror is None:
            return self._origin.doubt(digest)
        self._leave(mirror, f"what it sent for {digest} is damaged, or not what was published")
        return True

    def resolve(self, version: str) -> Descriptor:
        return self._origin.resolve(version)

    def manifest(self, version: str) -> tuple[Descriptor, bytes]:
        if is_digest(version):
            return self._asked(version, lambda store: store.manifest(version))
        return self._origin.manifest(version)

    def read_blob(self, digest: str, offset: int, length: int) -> bytes:
        return self._asked(digest, lambda store: store.read_blob(digest, offset, length))

    def blob_size(self, digest: str) -> int | None:
        return self._origin.blob_size(digest)

    def write_blob(self, data: bytes, digest: str) -> None:
        self._origin.write_blob(data, digest)

    def write_blob_file(self, path: str, digest: str, size: int) -> None:
        self._origin.write_blob_file(path, digest, size)

    def write_manifest(
        self, data: bytes, media_type: str, *, tag: str = "", instead_of: str | None = None
    ) -> Descriptor:
        return self._origin.write_manifest(data, media_type, tag=tag, instead_of=instead_of)

    def tags(self) -> Mapping[str, str]:
        return self._origin.tags()

    def lists_tag(self, tag: str) -> bool:
        return self._origin.lists_tag(tag)

    def untagged(self) -> Sequence[str]:
        return self._origin.untagged()

    def referrers(self, digest: str, artifact_type: str = "") -> Sequence[Descriptor]:
        return self._origin.referrers(digest, artifact_type)

    def remove_tag(self, tag: str) -> None:
        self._origin.remove_tag(tag)

    def remove_manifest(self, digest: str) -> None:
        self._origin.remove_manifest(digest)

    def created(self, digest: str) -> float | None:
        return self._origin.created(digest)

    def publishing(self) -> contextlib.AbstractContextManager[object]:
        return self._origin.publishing()

    def pruning(self) -> contextlib.AbstractContextManager[object]:
        return self._origin.pruning()

    def collect_garbage(self, *, grace: float, remove: bool = True) -> int:
        return self._origin.collect_garbage(grace=grace, remove=remove)

    def close(self) -> None:
        for store in self._opened:
            store.close()
