# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One disk of a clone: what it is, and its making from a file that nobody writes to meanwhile."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable

from .._commands import Commands
from .._errors import Conflict
from .._files import fingerprint, partial_path, remove
from .._formats.names import qemu_driver
from .._qemu.image import Image, QemuImg, convert_arguments
from .._qemu.options import engine_arguments
from .._qemu.percent import run_with_percent
from .._records import Record, publish_with_record
from .file_copy import clone
from .inspection import Inspected
from .vm_files import MODE, NewDisk, make, source_of


@dataclass(frozen=True)
class CloneDisk:
    """A disk to make: a full copy of `source`, or a layer over `base`, with `top` it also holds what `source` holds.

    What is `pulled` is read from the running VM, so only path and format of the source are known. `snapshot` names the internal
    snapshot that is copied instead of what `source` holds now. The guest on an `edited` one becomes another machine. `of` names the QEMU
    process that the disk is of, where no VM is defined that would tell.
    """

    vm: str
    target: str
    path: str
    source: Inspected
    base: Inspected | None = None
    top: bool = False
    pulled: bool = False
    snapshot: str = ""
    edited: bool = False
    of: str = ""

    @property
    def format(self) -> str:
        return "qcow2" if self.base else self.source.format

    @property
    def driver(self) -> str:
        """QEMU's name of the format."""
        return qemu_driver(self.format)

    @property
    def title(self) -> str:
        if self.base is not None:
            held = f" with what {self.source.path} holds" if self.top else ""
            return f"make {self.path} over {self.base.path}{held}"
        what = f"the snapshot {self.snapshot} in {self.source.path}" if self.snapshot else self.source.path
        return f"copy {what}{' while it is in use' if self.pulled else ''} to {self.path}"

    def facts(self) -> dict[str, Any]:
        """What results show of it."""
        backing = self.base.path if self.base else ""
        return {"target": self.target, "path": self.path, "format": self.format, "backing": backing}

    def record(self, version: str, *, point: str = "") -> Record:
        """The record that goes on the file; `point` names the moment of which all disks that were pulled together are."""
        below = {"backing": self.base.path, "backing_format": self.base.format} if self.base else {}
        source = {"path": self.source.path, "point": point} if self.pulled else source_of(self.source)
        more = {
            **({"snapshot": self.snapshot} if self.snapshot else {}),
            **({"identity": "edit"} if self.edited else {}),
            **({"of": self.of} if self.of else {}),
        }
        return Record(
            operation="overlay" if self.base and not self.top else "clone",
            format=self.format,
            virtual_size=self.source.virtual_size,
            source=source_of(self.base) if self.base and not self.top else source,
            options={"vm": self.vm, **below, **more},
            tool=f"imageops.fleet {version}",
        )

    def mark(self) -> dict[str, Any] | None:
        """What tells later whether the source was written to; None for one that is read while it is in use."""
        found = fingerprint(self.source.path)
        return found.as_dict() if found and not self.pulled else None

    def require_same(self, mark: Mapping[str, Any] | None) -> None:
        """Raise Conflict when the source was written to since it had that `mark`."""
        if not self.pulled and not self.snapshot and self.mark() != mark:
            raise Conflict(f"source: {self.source.path} was written to meanwhile; run the task again.")

    def make(self, commands: Commands, version: str, mark: Mapping[str, Any] | None) -> None:
        """Make the file, whole or not at all, of a source that still has the `mark`."""
        self.require_same(mark)
        if self.base is not None and not self.top:
            make(
                NewDisk(self.vm, self.path, "qcow2", self.source.virtual_size, self.base, linked=True),
                commands,
                version=version,
            )
            return
        partial = partial_path(self.path)
        try:
            self.fill(partial, lambda percent: None)
            publish_with_record(partial, self.path, self.record(version))
        finally:
            remove(partial)

    def fill(
        self,
        partial: str,
        report: Callable[[float], None],
        *,
        pass_fds: Sequence[int] = (),
        rate_limit: int | None = None,
    ) -> None:
        """Write the whole content into the new file `partial`; engines inherit `pass_fds`, `report` gets percents.

        `rate_limit` is in bytes a second.
        """
        new_file(partial)
        if self.base is not None and not self.top:
            base = Image(self.base.path, self.base.format)
            QemuImg(Commands()).create(
                Image(partial, "qcow2"), size=self.source.virtual_size, backing=base, pass_fds=pass_fds
            )
        elif not (self._is_copied_as_it_is and _clone(self.source.path, partial)):
            run_with_percent(self._conversion(partial, rate_limit), report, pass_fds=pass_fds)
            os.chmod(partial, MODE)

    @property
    def _is_copied_as_it_is(self) -> bool:
        """Whether the bytes of the file are what is wanted: one file, without snapshots, which stay behind."""
        return self.base is None and len(self.source.files) == 1 and not self.source.chain[0].facts.snapshots

    def _conversion(self, partial: str, rate_limit: int | None) -> list[str]:
        source, target = Image(self.source.path, self.source.format), Image(partial, self.format)
        if self.base is None:
            return convert_arguments(source, target, snapshot=self.snapshot, rate_limit=rate_limit)
        facts = self.source.chain[0].facts
        options = {"cluster_size": facts.cluster_size, "extended_l2": facts.header.get("extended_l2", False)}
        below = Image(self.base.path, self.base.format)
        how = engine_arguments("qcow2", options)
        return convert_arguments(source, target, options=how, backing=below, rate_limit=rate_limit)


def new_file(partial: str) -> None:
    """The empty file `partial`, which nobody else may read."""
    remove(partial)
    os.close(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, MODE))


def _clone(source: str, target: str) -> bool:
    """Whether `target` got all blocks of `source` by a reflink."""
    with open(source, "rb") as reading, open(target, "wb") as writing:
        return clone(reading.fileno(), writing.fileno())
