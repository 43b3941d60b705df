# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The work of a publish, as the host helper does it: read, send what is new, and last of all give the image its names."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Callable

from .._catalog.digest import digest_of
from .._catalog.image import DiskEntry, ImageConfig
from .._catalog.media_types import MANIFEST
from .._catalog.segment import BLOCK_SIZE
from .._catalog.times import format_time
from .._catalog.variables import TOLD_AS
from .._errors import Conflict, ImageOpsError
from .._faults import fault_point
from .._formats.compress_pool import data_size
from .._jobs.progress import Progress
from .._jobs.worker import run_job
from .._registry.images import LoadedImage, load_image
from .._registry.interface import Store
from .._registry.open import open_store
from .._registry.whole import is_whole
from .image_publish_compare import differing_disk, same_description
from .image_publish_container import ContainerDisk
from .image_publish_journal import PublishJournal, spool_folder, tidy_journals
from .image_publish_known import image_or_none, known_blocks
from .image_publish_note import write_note
from .image_publish_packer import Packer
from .image_publish_provenance import attach_sboms, recipe_of
from .image_publish_request import CONTAINERDISK, PublishRequest, request_of_job
from .image_publish_sources import Opened, opened
from .image_publish_tags import give_names, missing_names, moved, require_free_names, unmoved_aliases
from .image_publish_variables import frame_of, told_of
from .image_publish_work import ImageWriter
from .operation import Tools
from .pull_source import pull_folder

_CREATED = "org.opencontainers.image.created"
_VERSION = "org.opencontainers.image.version"
# What is left to do when the disks were read.
_Finish = Callable[[], dict[str, Any]]


def publish(params: dict[str, Any], progress: Progress, lock: int) -> dict[str, Any]:
    """Publish the image that `params` (PublishRequest.job) describe; facts for the task's result.

    What an interruption leaves in the repository has no name; the next run of the task goes on with it.
    """
    request = request_of_job(params)
    spool = spool_folder(request.shown)
    progress.leaves(spool, *([pull_folder(request.vm.uuid)] if request.vm and request.runs else []))
    tools = Tools(version=params["version"])
    try:
        with contextlib.closing(open_store(request.reference, request.access)) as store, store.publishing():
            return _Publish(request, store, tools, progress).run(lock)
    finally:
        shutil.rmtree(spool, ignore_errors=True)
        tools.close()
        tidy_journals()


class _Publish:
    def __init__(self, request: PublishRequest, store: Store, tools: Tools, progress: Progress) -> None:
        self._request = request
        self._store = store
        self._tools = tools
        self._progress = progress
        self._told: dict[str, Any] = {}
        self._warnings: list[str] = []
        progress.phase("look")
        self._tags = dict(store.tags())
        require_free_names(request, store, self._tags)
        self._current = self._tags.get(request.reference.tag, "")
        self._whole = bool(self._current) and is_whole(store, self._current)

    def run(self, lock: int) -> dict[str, Any]:
        began = time.monotonic()
        with opened(self._request, self._tools, self._progress, lock) as found:
            self._told.update(found.told)
            finish = self._container(found) if self._request.layout == CONTAINERDISK else self._image(found)
            found.require_same()
        # Only now a backup that was read is known to have been whole.
        told = finish()
        size = sum(disk.content.size for disk in found.disks)
        seconds = time.monotonic() - began
        return {**self._told, **told, "guest_bytes": size, "guest_rate": round(size / seconds) if seconds else None}

    def _image(self, found: Opened) -> _Finish:
        """Read the disks and send their blocks; what is left to do when they were read."""
        request, store = self._request, self._store
        old = image_or_none(store, self._current) if self._current else None
        if self._current and not request.move_tag:
            same = old is not None and self._is_same(old, found)
            if old is None or not same:
                raise moved(store, request, self._current)
            if self._whole:
                return lambda: self._unchanged(old.digest, facts_of_image(old))
        # Else what the repository has lost is sent again.
        writer = self._read(found, old)
        config = self._config(found, writer.entries())
        if old is not None and same_description(old.config, config) and (self._whole or is_whole(store, old.digest)):
            return lambda: self._unchanged(old.digest, facts_of_image(old))
        return lambda: self._publish_image(writer, config, old, found.variables)

    def _is_same(self, old: LoadedImage, found: Opened) -> bool:
        wanted = self._config(found, old.config.disks)
        named = [(disk.name, disk.format, dict(disk.options)) for disk in old.config.disks]
        disks = [(disk.name, disk.format, dict(disk.options)) for disk in found.disks]
        if not same_description(old.config, wanted) or named != disks:
            return False
        self._progress.phase("compare", total=max(disk.content.size for disk in found.disks))
        report = self._progress.update
        return differing_disk(self._store, old, found.disks, whole=self._whole, report=report) is None

    def _read(self, found: Opened, old: LoadedImage | None) -> ImageWriter:
        request, store = self._request, self._store
        first = [*([old.digest] if old else []), *request.base]
        journal = PublishJournal(request.shown)
        known = known_blocks(store, self._tags, first=first, warn=self._warn)
        packer = Packer(store, journal, folder=spool_folder(request.shown), limit=request.bandwidth)
        with contextlib.closing(packer):
            writer = ImageWriter(store, known, packer, journal, level=request.level)
            # Packs grow with the data that is left: holes, of which a thin disk has many, are none.
            sizes = [data_size(disk.content, block_size=BLOCK_SIZE) for disk in found.disks]
            for number, disk in enumerate(found.disks):
                self._progress.phase(f"read {disk.name}", total=disk.content.size)
                writer.read(disk, left=sum(sizes[number:]), report=self._progress.update)
            found.require_same()
            self._progress.phase("send")
            writer.finish()
        self._told.update(asdict(writer.tally))
        return writer

    def _warn(self, image: LoadedImage, error: ImageOpsError) -> None:
        """The version that is published itself needs no warning: it is made whole again."""
        if image.digest == self._current:
            return
        names = ", ".join(sorted(tag for tag, digest in self._tags.items() if digest == image.digest)) or image.digest
        self._warnings.append(
            f"image: blocks of {names} can't be used again, and it can't be pulled; publish that version again: {error}"
        )

    def _config(self, found: Opened, disks: Sequence[DiskEntry]) -> ImageConfig:
        request = self._request
        return ImageConfig(
            disks=tuple(disks),
            created=format_time(time.time()),
            tool=f"imageops.fleet {self._tools.version}",
            vm=self._described(found),
            os=request.os,
            provenance={
                "host": platform.node(),
                "sources": [
                    {
                        "disk": disk.name,
                        "file": os.path.basename(disk.path),
                        "format": disk.format,
                        **({"digest": disk.digest} if disk.digest else {}),
                        **recipe_of(disk),
                    }
                    for disk in request.disks
                ],
                **found.told,
            },
            labels=request.labels,
        )

    def _described(self, found: Opened) -> dict[str, Any]:
        """What the image tells of the VM."""
        vm = self._request.vm
        if vm is None or vm.variables is None:
            return vm.description if vm else {}
        return {**vm.description, TOLD_AS: told_of(vm.variables, found.variables).as_dict()}

    def _publish_image(
        self, writer: ImageWriter, config: ImageConfig, old: LoadedImage | None, variables: bytes
    ) -> dict[str, Any]:
        self._progress.phase("publish")
        annotations = {_CREATED: config.created, _VERSION: self._request.reference.tag}
        manifest = writer.write(config, annotations, variables=frame_of(variables) if variables else b"")
        self._told["packs"] = writer.tally.packs
        if old is not None and same_description(old.config, config) and is_whole(self._store, old.digest):
            # All that was lost came again, so the image is what it was, with its signatures.
            return self._unchanged(old.digest, facts_of_image(old))
        self._name(manifest)
        facts = facts_of_image(load_image(self._store, digest_of(manifest)))
        return self._done(digest_of(manifest), facts)

    def _container(self, found: Opened) -> _Finish:
        made = ContainerDisk(self._request, found.disks[0], spool_folder(self._request.shown))
        manifest = made.make(self._progress)
        digest, disk = digest_of(manifest), found.disks[0]
        facts = {
            "digest": digest,
            "disks": [{"name": disk.name, "size": disk.content.size, "format": "qcow2", "layer": made.layer.digest}],
        }
        if digest == self._current and self._whole:
            return lambda: self._unchanged(digest, facts)
        if self._current not in ("", digest) and not self._request.move_tag:
            raise moved(self._store, self._request, self._current)
        return lambda: self._publish_container(made, manifest, facts)

    def _publish_container(self, made: ContainerDisk, manifest: bytes, facts: dict[str, Any]) -> dict[str, Any]:
        self._progress.phase("send", total=made.layer.size)
        self._told["uploaded_bytes"] = made.store(self._store)
        self._name(manifest)
        return self._done(digest_of(manifest), facts)

    def _name(self, manifest: bytes) -> None:
        """Make the image visible under its own tag, then under the others."""
        request, store = self._request, self._store
        if store.tags().get(request.reference.tag, "") != self._current:
            raise Conflict(f"image: somebody else published {request.shown} meanwhile; run the task again.")
        PublishJournal(request.shown).naming(digest_of(manifest))
        fault_point("publish:before-manifest")
        store.write_manifest(manifest, MANIFEST, tag=request.reference.tag, instead_of=self._current)
        fault_point("publish:after-manifest")
        give_names(request, store, manifest, digest_of(manifest), [*request.tags, *request.aliases], seen=self._tags)

    def _unchanged(self, digest: str, facts: dict[str, Any]) -> dict[str, Any]:
        """The tag names that image already; other names may be missing."""
        missing = self._names_left(digest)
        if missing:
            _descriptor, manifest = self._store.manifest(digest)
            give_names(self._request, self._store, manifest, digest, missing, seen=self._tags)
        return self._done(digest, facts, changed=bool(missing) or not self._whole)

    def _names_left(self, digest: str) -> list[str]:
        missing = missing_names(self._request, self._tags, digest)
        if PublishJournal(self._request.shown).named != digest:
            return missing
        unmoved = unmoved_aliases(self._request, self._store, self._tags, digest)
        return list(dict.fromkeys([*missing, *unmoved]))

    def _done(self, digest: str, facts: Mapping[str, Any], *, changed: bool = True) -> dict[str, Any]:
        sboms = attach_sboms(self._store, self._request.disks, digest)
        fault_point("publish:sboms-attached")
        write_note(self._request, digest, dict(facts))
        fault_point("publish:noted")
        PublishJournal(self._request.shown).forget()
        warnings = {"warnings": self._warnings} if self._warnings else {}
        return {"digest": digest, "changed": changed, **({"sboms": sboms} if sboms else {}), **warnings}


def facts_of_image(image: LoadedImage) -> dict[str, Any]:
    """What a result tells of an image."""
    disks = [
        {"name": disk.name, "size": disk.size, "format": disk.format, "content": disk.content, "blocks": disk.blocks}
        for disk in image.config.disks
    ]
    variables = image.config.vm.get(TOLD_AS)
    told = {TOLD_AS: variables} if variables else {}
    return {"digest": image.digest, "created": image.config.created, "disks": disks, **told}


def main() -> int:
    """Entry of the host helper: do the job whose folder is the first argument; the exit code."""
    return run_job(sys.argv[1], publish)
