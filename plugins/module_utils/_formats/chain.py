# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backing chain from the top down, opened file by file, each with the format that the layer above recorded."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, Callable

from .._errors import ImageOpsError, InvalidOption, NotFound, UnsafeImage
from .facts import Finding, ImageFacts
from .names import canonical_format
from .probe import inspect
from .rules import finding

MAX_DEPTH = 200


@dataclass(frozen=True)
class OpenImage:
    """An open file with what fstat said about this very descriptor."""

    stream: BinaryIO
    size: int
    allocated: int
    device: int
    inode: int


@dataclass(frozen=True)
class Link:
    """One layer: its path as its overlay names it, its real path, and its facts."""

    path: str
    real_path: str
    facts: ImageFacts
    file_size: int
    allocated_size: int


Opener = Callable[[str], AbstractContextManager[OpenImage]]


@contextmanager
def open_image(path: str) -> Iterator[OpenImage]:
    """Open a regular file or block device for reading; nothing else is opened, and a FIFO cannot hold us."""
    try:
        _refuse_others(path, os.stat(path).st_mode)
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NotFound(f"{path} does not exist.") from error
    except (OSError, ValueError) as error:
        raise UnsafeImage(f"{path}: cannot be opened: {error}.") from error
    with open(descriptor, "rb", buffering=0, closefd=True) as stream:
        status = os.fstat(descriptor)
        _refuse_others(path, status.st_mode)
        size = stream.seek(0, os.SEEK_END)
        allocated = status.st_blocks * 512 if stat.S_ISREG(status.st_mode) else size
        yield OpenImage(stream, size, allocated, status.st_dev, status.st_ino)


def _refuse_others(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise UnsafeImage(f"{path}: is neither a regular file nor a block device.")


def inspect_chain(path: str, *, declared: str | None = None, opener: Opener = open_image) -> list[Link]:
    """Every layer from path down to its base; what stops the walk is a finding of the layer where it stopped."""
    seen: set[tuple[int, int]] = set()
    links = [_link(path, declared, opener, seen)]
    while True:
        backing = links[-1].facts.backing
        if backing is None:
            return links
        stop = _obstacle(links)
        if stop is None:
            try:
                links.append(_link(backing_path(links[-1].path, backing.name), backing.format, opener, seen))
                continue
            except ImageOpsError as error:
                stop = _broken(error)
        links[-1] = replace(links[-1], facts=with_findings(links[-1].facts, stop))
        return links


def backing_path(overlay: str, name: str) -> str:
    """The path of a backing name, relative ones from the directory of the overlay as it was named, as QEMU does."""
    return os.path.join(os.path.dirname(overlay), name)


def follows(name: str) -> bool:
    """Whether a backing name is a plain path: QEMU takes what stands before a colon for a protocol, unless after a slash."""
    return bool(name) and ":" not in name.split("/", 1)[0]


def with_findings(facts: ImageFacts, *more: Finding) -> ImageFacts:
    """The same facts with further findings."""
    return replace(facts, findings=facts.findings + tuple(one for one in more if one not in facts.findings))


class _Loop(ImageOpsError):
    """A file that the chain has already passed."""


def _link(path: str, declared: str | None, opener: Opener, seen: set[tuple[int, int]]) -> Link:
    with opener(path) as image:
        if (image.device, image.inode) in seen:
            raise _Loop(f"The backing chain comes back to {path}; no engine can open it.")
        seen.add((image.device, image.inode))
        try:
            facts = inspect(image.stream, size=image.size, declared=declared)
        except OSError as error:
            raise UnsafeImage(f"{path}: cannot be read: {error}.") from error
    return Link(path, os.path.realpath(path), facts, image.size, image.allocated)


def _obstacle(links: list[Link]) -> Finding | None:
    """Why the next file must not even be opened."""
    backing = links[-1].facts.backing
    name = backing.name if backing else ""
    if not follows(name):
        return finding(
            "backing-protocol",
            f"The backing name '{name}' is no plain path and is not followed; rebase the image on a file.",
        )
    if backing and backing.format and not _known(backing.format):
        return finding(
            "backing-format-unknown",
            f"The backing file '{name}' is recorded as '{backing.format}', which is no disk format.",
        )
    if len(links) >= MAX_DEPTH:
        return finding("chain-depth", f"The backing chain has more than {MAX_DEPTH} layers; flatten it.")
    return None


def _known(name: str) -> bool:
    try:
        canonical_format(name)
    except InvalidOption:
        return False
    return True


def _broken(error: ImageOpsError) -> Finding:
    rules = {NotFound: "backing-missing", _Loop: "chain-loop"}
    return finding(rules.get(type(error), "not-a-file"), str(error))
