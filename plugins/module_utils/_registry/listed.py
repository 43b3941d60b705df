# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a repository that lists its manifests in an index: a layout in a folder, or one that a web server shows."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from .._catalog.digest import Descriptor, digest_of, is_digest
from .._catalog.image import MOST_MANIFEST, load_manifest
from .._catalog.media_types import INDEX, MANIFEST
from .._catalog.tags import referrers_tag, version_tags
from .._errors import NotFound, TransferError
from .layout_index import Entry
from .referrers import listed_in, of_type, referrer_of, subject_in

_MOST_NAMED = 8


class ListedManifests:
    """What all such repositories have in common; where the bytes come from is for the subclasses to say."""

    def __init__(self, where: str) -> None:
        self.where = where
        # What each listed manifest is about, by its digest: that never changes, and is asked once for every image.
        self._subjects: dict[str, tuple[str, Descriptor]] = {}

    def _entries(self) -> list[Entry]:
        """What the index lists."""
        raise NotImplementedError

    def _read_manifest(self, digest: str) -> bytes:
        """The blob of a manifest, at most MOST_MANIFEST bytes and one; raises NotFound."""
        raise NotImplementedError

    def resolve(self, version: str) -> Descriptor:
        """What a tag or digest names."""
        entries = self._entries()
        for entry in entries:
            if version in (entry.tag, entry.digest):
                return entry.descriptor
        if is_digest(version):
            # What an index names needn't be listed itself.
            with contextlib.suppress(NotFound):
                return self._unlisted(version)
        known = sorted(version_tags({entry.tag: "" for entry in entries if entry.tag}))
        hint = f"; it has {', '.join(known[-_MOST_NAMED:])}" if known else ", which is empty"
        raise NotFound(f"{self.where} has no image '{version}'{hint}.")

    def _unlisted(self, digest: str) -> Descriptor:
        data = self._manifest_of(digest)
        found = load_manifest(data, where=f"{self.where}@{digest}")
        guess = INDEX if isinstance(found.get("manifests"), list) else MANIFEST
        return Descriptor(str(found.get("mediaType") or guess), digest, len(data))

    def manifest(self, version: str) -> tuple[Descriptor, bytes]:
        """A manifest or index by tag or digest; its digest is checked."""
        found = self.resolve(version)
        return found, self._manifest_of(found.digest)

    def _manifest_of(self, digest: str) -> bytes:
        where = f"{self.where}@{digest}"
        try:
            data = self._read_manifest(digest)
        except NotFound:
            raise NotFound(
                f"{where}: the catalog lists this manifest, but does not hold it; publish the image again."
            ) from None
        if len(data) > MOST_MANIFEST:
            raise TransferError(f"{where}: no manifest has more than {MOST_MANIFEST} bytes, as this one does.")
        if digest_of(data) != digest:
            raise TransferError(f"{where}: the manifest is damaged: it has another digest; publish the image again.")
        return data

    def tags(self) -> Mapping[str, str]:
        """All tags and the digest that each points at."""
        return {entry.tag: entry.digest for entry in reversed(self._entries()) if entry.tag}

    def lists_tag(self, tag: str) -> bool:
        """Whether the tag is listed, also when what it names is lost."""
        return any(entry.tag == tag for entry in self._entries())

    def untagged(self) -> Sequence[str]:
        """Digests of manifests that are listed without a tag."""
        return [entry.digest for entry in self._entries() if not entry.tag]

    def referrers(self, digest: str, artifact_type: str = "") -> Sequence[Descriptor]:
        """Manifests whose subject is `digest`: those that are listed, and those that others put into an index with its tag."""
        found = []
        for entry in self._entries():
            is_list = entry.tag == referrers_tag(digest)
            if not is_list and artifact_type and entry.descriptor.artifact_type not in ("", artifact_type):
                continue
            with contextlib.suppress(NotFound, TransferError):
                if is_list:
                    found += listed_in(self._manifest_of(entry.digest), where=self.where)
                    continue
                subject, referrer = self._subject_of(entry)
                if subject == digest:
                    found.append(referrer)
        return of_type(found, artifact_type)

    def _subject_of(self, entry: Entry) -> tuple[str, Descriptor]:
        """The digest of what a manifest is about, if it is about something, and how a list of referrers names it."""
        known = self._subjects.get(entry.digest)
        if known is None:
            data = self._manifest_of(entry.digest)
            subject = subject_in(data)
            known = (subject, referrer_of(data, entry.descriptor.media_type) if subject else entry.descriptor)
            self._subjects[entry.digest] = known
        return known

    def doubt(self, digest: str) -> bool:
        """There is no other place to ask."""
        return False
