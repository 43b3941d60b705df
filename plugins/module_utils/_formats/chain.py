# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backing chain from the top down, opened file by file, each with the format that the layer above recorded.

After the layers come the other files that hold their guest data: data files and extents.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import BinaryIO, Callable

from .._errors import ImageOpsError, InvalidOption, NotFound, UnsafeImage
from .facts import Finding, ImageFacts, Reference
from .known import Known
from .names import canonical_format
from .rules import finding

MAX_DEPTH = 200
IMAGE, BACKING = "image", "backing"


@dataclass(frozen=True)
class OpenImage:
    """An open file with what fstat said about this very descriptor.

    `version` changes with every write to a regular file; other files have none.
    """

    stream: BinaryIO
    size: int
    allocated: int
    device: int
    inode: int
    version: tuple[int, ...] = ()


@dataclass(frozen=True)
class Link:
    """One file: its path as the file above names it, its real path, and its facts; role is image, backing, data-file, extent."""

    path: str
    real_path: str
    facts: ImageFacts
    file_size: int
    allocated_size: int
    role: str = IMAGE


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
        raise UnsafeImage(f"{path}: cannot be opened: {_said(error)}.") from error
    with open(descriptor, "rb", buffering=0, closefd=True) as stream:
        status = os.fstat(descriptor)
        _refuse_others(path, status.st_mode)
        size = _size(path, stream)
        regular = stat.S_ISREG(status.st_mode)
        allocated = status.st_blocks * 512 if regular else size
        version = (size, status.st_mtime_ns, status.st_ctime_ns) if regular else ()
        yield OpenImage(stream, size, allocated, status.st_dev, status.st_ino, version)


def _size(path: str, stream: BinaryIO) -> int:
    """Bytes of an open file; some of the kernel's are no files with a size."""
    try:
        return stream.seek(0, os.SEEK_END)
    except OSError as error:
        raise UnsafeImage(f"{path}: has no size, so it is no disk: {_said(error)}.") from error


def _said(error: Exception) -> str:
    """What the system said, without number and path."""
    return str(getattr(error, "strerror", None) or error)


def _refuse_others(path: str, mode: int) -> None:
    if not stat.S_ISREG(mode) and not stat.S_ISBLK(mode):
        raise UnsafeImage(f"{path}: is neither a regular file nor a block device.")


def inspect_chain(
    path: str, *, declared: str | None = None, opener: Opener = open_image, known: Known | None = None
) -> list[Link]:
    """Every layer from path down to its base, then their other files; what stops the walk is a finding of the layer there.

    `known` keeps the facts of files below others for the next chain.
    """
    walk = _Walk(opener, known or Known(), set())
    links = [walk.link(path, declared, IMAGE)]
    while links[-1].facts.backing is not None:
        backing = links[-1].facts.backing
        stop = _obstacle(backing.name, backing.format) or _too_deep(links)
        found = stop or walk.reach(backing_path(links[-1].path, backing.name), backing.format, BACKING)
        if isinstance(found, Finding):
            links[-1] = replace(links[-1], facts=with_findings(links[-1].facts, found))
            break
        links.append(found)
    for index in range(len(links)):
        links += walk.references(links, index)
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


@dataclass(frozen=True)
class _Walk:
    """How the files of one chain are opened, and which were."""

    opener: Opener
    known: Known
    seen: set[tuple[int, int]]

    def link(self, path: str, declared: str | None, role: str) -> Link:
        with self.opener(path) as image:
            if (image.device, image.inode) in self.seen:
                raise _Loop(f"The chain comes back to {path}; no engine can open it.")
            self.seen.add((image.device, image.inode))
            version = (image.device, image.inode, *image.version) if image.version and role != IMAGE else ()
            try:
                facts = self.known.inspect(image.stream, image.size, declared=declared, version=version)
            except OSError as error:
                raise UnsafeImage(f"{path}: cannot be read: {_said(error)}.") from error
        return Link(path, os.path.realpath(path), facts, image.size, image.allocated, role)

    def reach(self, path: str, declared: str | None, role: str) -> Link | Finding:
        """The file at path, or why it can't be had."""
        try:
            return self.link(path, declared, role)
        except ImageOpsError as error:
            missing = "backing-missing" if role == BACKING else "reference-missing"
            rules = {NotFound: missing, _Loop: "chain-loop"}
            return finding(rules.get(type(error), "not-a-file"), str(error))

    def references(self, links: list[Link], index: int) -> list[Link]:
        """The files beside a layer that hold its guest data; one that lacks is a finding of the layer."""
        found: list[Link] = []
        for one in links[index].facts.references:
            here = links[index]
            link = _obstacle(one.name, one.format) or self.reach(
                backing_path(here.path, one.name), one.format, one.kind
            )
            stop = link if isinstance(link, Finding) else _unfit(here, one, link)
            if stop:
                links[index] = replace(here, facts=with_findings(here.facts, stop))
            if isinstance(link, Link):
                found.append(link)
        return found


def _obstacle(name: str, recorded: str | None) -> Finding | None:
    """Why the next file must not even be opened."""
    if not follows(name):
        return finding(
            "backing-protocol", f"The name '{name}' is no plain path and is not followed; rebase the image on a file."
        )
    if recorded and not _known(recorded):
        return finding(
            "backing-format-unknown", f"The file '{name}' is recorded as '{recorded}', which is no disk format."
        )
    return None


def _too_deep(links: list[Link]) -> Finding | None:
    if len(links) >= MAX_DEPTH:
        return finding("chain-depth", f"The backing chain has more than {MAX_DEPTH} layers; flatten it.")
    return None


def _unfit(image: Link, reference: Reference, link: Link) -> Finding | None:
    """Why a file beside the image can't be what the image says that it is."""
    if reference.kind == "extent":
        from .vmdk_extents import extent_problem, leaves_folder

        problem = extent_problem(image.facts, reference.name, link.facts, link.file_size)
        return problem or leaves_folder(image.real_path, link.real_path)
    return _too_short(image, reference, link)


def _too_short(image: Link, reference: Reference, link: Link) -> Finding | None:
    """Whether the image's tables name data past the end of its data file."""
    needed = image.facts.header.get("data_file_end", 0) if reference.kind == "data-file" else 0
    if needed <= link.file_size:
        return None
    return finding(
        "truncated",
        f"Guest data lie up to byte {needed} of the data file '{reference.name}', which ends already at {link.file_size}; "
        "restore it.",
    )


def _known(name: str) -> bool:
    try:
        canonical_format(name)
    except InvalidOption:
        return False
    return True
