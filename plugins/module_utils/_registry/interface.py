# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What operations need of a repository, whatever holds it: an OCI image layout, a static web server with one, or a registry.

Calls may come from several threads at once. What goes wrong is told by one sentence: NotFound for what isn't there, `Broken` (of
_transfer.stream) for what may pass after the store's own retries, TransferError for what won't, Unsupported for what such a store
can't do (a web server takes nothing).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from .._catalog.digest import Descriptor


@dataclass(frozen=True)
class StoreAccess:
    """How stores are asked. `username` and `password` are for registries and web servers; `mirrors` are other places of the same API.

    `plain_http` lets a registry be asked without TLS; registries on the loopback are asked so anyway where they answer nothing else.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    ca_path: str = ""
    validate_certs: bool = True
    plain_http: bool = False
    idle_timeout: float = 60.0
    mirrors: Sequence[str] = ()


class Store(Protocol):
    """One repository. `where` is how messages name it; reads are checked against digests by who asks."""

    where: str
    writable: bool

    def resolve(self, version: str) -> Descriptor:
        """What a tag or digest names, without reading it where the store can tell (HEAD)."""

    def manifest(self, version: str) -> tuple[Descriptor, bytes]:
        """A manifest or index by tag or digest; its digest is checked."""

    def read_blob(self, digest: str, offset: int, length: int) -> bytes:
        """Just these bytes of a blob; not checked, since a part has no digest."""

    def doubt(self, digest: str) -> bool:
        """What was read of a blob is not what it shall be: whether to read it again, since it came from a mirror, which isn't asked
        any more.
        """

    def blob_size(self, digest: str) -> int | None:
        """Size of a blob that is there, None when it isn't."""

    def write_blob(self, data: bytes, digest: str) -> None:
        """Keep a blob that is held in memory, durably; nothing is done when it is there. `data` has that digest."""

    def write_blob_file(self, path: str, digest: str, size: int) -> None:
        """The same for a blob in a file, which is read piece by piece."""

    def write_manifest(
        self, data: bytes, media_type: str, *, tag: str = "", instead_of: str | None = None
    ) -> Descriptor:
        """Keep a manifest whose blobs are there, and let `tag` point at it; old or new at every moment.

        With `instead_of` Conflict is raised when the tag names something else than that digest (nothing: an empty one), by stores that
        look and write in one step: a directory.
        """

    def tags(self) -> Mapping[str, str]:
        """All tags and the digest that each points at; empty when the repository isn't there yet."""

    def lists_tag(self, tag: str) -> bool:
        """Whether the tag is listed, also when what it names is lost."""

    def untagged(self) -> Sequence[str]:
        """Digests of manifests that are kept without a tag; empty where the store can't tell (registries, web servers)."""

    def referrers(self, digest: str, artifact_type: str = "") -> Sequence[Descriptor]:
        """Manifests whose subject is `digest` (referrers API, or the tag that stands for it)."""

    def remove_tag(self, tag: str) -> None:
        """Forget a tag; the manifest stays when another one points at it. Nothing is done when it isn't there."""

    def remove_manifest(self, digest: str) -> None:
        """Forget a manifest and all tags that point at it. Nothing is done when it isn't there."""

    def created(self, digest: str) -> float | None:
        """When a manifest came here (seconds since the epoch), None where the store can't tell."""

    def publishing(self) -> contextlib.AbstractContextManager[object]:
        """Held while blobs and manifests are written: pruning waits. Several may publish at once."""

    def pruning(self) -> contextlib.AbstractContextManager[object]:
        """Held while things are removed: alone."""

    def collect_garbage(self, *, grace: float, remove: bool = True) -> int:
        """Remove blobs that nothing names and that are older than `grace` seconds; bytes freed. A registry does that itself: 0.

        Without `remove` it is only told how many would be freed, and nobody is waited for.
        """

    def close(self) -> None:
        """End all connections."""
