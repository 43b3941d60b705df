# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the acts of the chain job share: its circumstances, comparing, headers, tidy tables."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from .._commands import Commands
from .._errors import Conflict, EngineError
from .._faults import fault_point
from .._files import Fingerprint, fingerprint, sync_file
from .._jobs.progress import Progress
from .._qemu.found import found_options
from .._qemu.image import Image, QemuImg
from .._qemu.options import TABLES, engine_arguments
from .._qemu.percent import run_with_percent
from .._qemu.rebase import compare_arguments, header_arguments, repair_arguments
from .disk_chain_act import Act
from .disk_chain_layers import images_of
from .disk_chain_request import ChainRequest
from .file_copy import copy_attributes
from .inspection import identity_of

_DIFFERENT = 1


@dataclass(frozen=True)
class Work:
    """One act to do; engines inherit `locks`. `found` tells what the files were, that are only read, when they were inspected."""

    request: ChainRequest
    act: Act
    progress: Progress
    locks: tuple[int, ...]
    tool: str
    found: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, request: ChainRequest, act: Act, progress: Progress, *, locks: tuple[int, ...], tool: str) -> Work:
        """The work that begins now."""
        written = {request.path, request.into}
        read = [layer.real_path for layer in act.layers if layer.real_path not in written]
        return cls(request, act, progress, locks, tool, identity_of(read))

    def require_unchanged(self) -> None:
        """Raise Conflict when a file that was read isn't the one that was inspected, or was written to since."""
        now = identity_of([one["path"] for one in self.found])
        changed = [one["path"] for one, same in zip(self.found, now) if one != same]
        if changed:
            raise Conflict(
                f"{changed[0]} was replaced or written to by somebody else while {self.request.path} was being worked on; "
                f"make sure of its content, then run the task again."
            )

    @property
    def images(self) -> list[Image]:
        """The chain for an engine."""
        return images_of(self.act.layers)

    @property
    def virtual_size(self) -> int:
        """Bytes of the top's disk."""
        return self.act.layers[0].facts.virtual_size

    @property
    def dropped(self) -> list[str]:
        """The files that the top doesn't rest on any more after the act."""
        act = self.act
        kept = act.new_base.files if act.new_base else ()
        return [file for file in (layer.real_path for layer in act.layers[1 : act.base]) if file not in kept]

    def report(self, done: int, total: int) -> None:
        """A block job's progress, in bytes of the guest's disk."""
        self.progress.update(self.virtual_size * done // total if total else 0)

    def percent(self, percent: float) -> None:
        """What qemu-img prints, in bytes of the guest's disk."""
        self.progress.update(int(self.virtual_size * percent / 100))

    def require_equal(self, one: Sequence[Image], other: Sequence[Image], *, what: str) -> None:
        """With verify deep: compare two chains byte by byte, and raise EngineError with `what` when they differ."""
        if self.request.verify != "deep":
            return
        self.progress.phase("compare", total=self.virtual_size)
        try:
            run_with_percent(compare_arguments(list(one), list(other)), self.percent, pass_fds=self.locks)
        except EngineError as error:
            if error.details.get("rc") != _DIFFERENT:
                raise
            raise EngineError(
                f"{what} does not hold what the chain held before; {self.request.path} was left as it was."
            ) from None


def write_header(work: Work, seen: Fingerprint | None) -> None:
    """Let the top's header name the act's backing file; raises Conflict when the image isn't what was `seen` last."""
    image, act = work.images[0], work.act
    fault_point("chain:before-header")
    work.require_unchanged()
    if fingerprint(image.path) != seen:
        raise Conflict(f"path: {image.path} was written to by somebody else in the meantime; run the task again.")
    Commands().output(header_arguments(image, backing=act.below, name=act.name), pass_fds=work.locks)
    sync_file(image.path)
    fault_point("chain:header-written")


def tidy_tables(image: Image, locks: Sequence[int]) -> None:
    """Give back clusters that an earlier, killed run took and nothing refers to; raises EngineError for a corrupt image."""
    found = QemuImg(Commands()).check(image)
    if found.corrupt:
        raise EngineError(
            f"{image.path}: qemu-img check calls it corrupt after the work; look at it before it is used."
        )
    if found.leaks:
        Commands().output(repair_arguments(image), pass_fds=locks)
        sync_file(image.path)


def new_overlay(work: Work, hidden: str, *, over: Image) -> Image:
    """An empty overlay over `over` under a hidden name, with the options of the top."""
    top = work.act.layers[0]
    image = Image(hidden, top.facts.format)
    make_hidden(hidden)
    QemuImg(Commands()).create(image, size=work.virtual_size, options=options_of(work), backing=over)
    return image


def options_of(work: Work) -> list[str]:
    """The options of the top, for a new image."""
    found = found_options(work.act.layers[0].facts).items()
    return engine_arguments("qcow2", {key: value for key, value in found if key in TABLES["qcow2"]})


def make_hidden(path: str) -> None:
    """A new file that nobody else reads before it has its owner and mode."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))


def like(path: str, hidden: str) -> None:
    """Give `hidden` owner, group, mode and attributes (ACL, label) of `path`."""
    with open(path, "rb") as old, open(hidden, "rb") as new:
        copy_attributes(old.fileno(), new.fileno())
