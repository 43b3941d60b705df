# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu-img: every call names its formats, and no call is made on a file that our parsers haven't read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._commands import Commands
from .._errors import EngineError, InvalidOption
from .._formats.names import qemu_driver

PROGRAM = "qemu-img"
# Out of order and 16 at a time is the fastest durable way on local disks, and the only one that compresses on all cores.
_PARALLEL = ("-m", "16", "-W")


@dataclass(frozen=True)
class Checked:
    """What `qemu-img check` found; formats without a check are not `checkable`."""

    checkable: bool
    corrupt: bool = False
    leaks: bool = False


@dataclass(frozen=True)
class Image:
    """A file and its format; the path is absolute, so QEMU takes it for neither an option nor a protocol."""

    path: str
    format: str

    def __post_init__(self) -> None:
        if not os.path.isabs(self.path):
            raise InvalidOption(f"path: '{self.path}' is not an absolute path.")

    @property
    def driver(self) -> str:
        """QEMU's name of the format."""
        return qemu_driver(self.format)


class QemuImg:
    """The calls of qemu-img that the operations need."""

    def __init__(self, commands: Commands) -> None:
        self._commands = commands

    def version(self) -> tuple[int, ...]:
        """Version of the installed qemu-img, such as (7, 2, 22)."""
        said = self._commands.output([PROGRAM, "--version"])
        found = re.search(r"version (\d+(?:\.\d+)*)", said)
        if not found:
            raise EngineError(f"qemu-img does not tell its version: {said[:80]!r}.")
        return tuple(int(part) for part in found.group(1).split("."))

    def create(self, image: Image, *, size: int, options: Sequence[str] = (), backing: Image | None = None) -> None:
        """Make a new image; `options` come from options.engine_arguments.

        A backing file isn't opened (-u): our parsers have read it, and its size is known.
        """
        below = ["-u", "-b", backing.path, "-F", backing.driver] if backing else []
        self._commands.output([PROGRAM, "create", "-q", "-f", image.driver, *options, *below, image.path, str(size)])

    def resize(self, image: Image, *, size: int, shrink: bool = False) -> None:
        """Give an image that nobody has open another size; shrinking cuts off what lies behind."""
        how = ["--shrink"] if shrink else []
        self._commands.output([PROGRAM, "resize", "-q", "-f", image.driver, *how, image.path, str(size)])

    def check(self, image: Image) -> Checked:
        """What qemu-img says about the consistency of an image's tables."""
        try:
            self._commands.output([PROGRAM, "check", "-q", "-f", image.driver, image.path])
        except EngineError as error:
            known = {2: Checked(True, corrupt=True), 3: Checked(True, leaks=True), 63: Checked(False)}
            if error.details.get("rc") not in known:
                raise
            return known[error.details["rc"]]
        return Checked(True)

    def compare(self, one: Image, other: Image) -> bool:
        """Whether guests see the same bytes; a longer one is the same when its rest is zeros."""
        argv = [PROGRAM, "compare", "-q", "-f", one.driver, "-F", other.driver, one.path, other.path]
        try:
            self._commands.output(argv)
        except EngineError as error:
            if error.details.get("rc") == 1:
                return False
            raise
        return True


def convert_arguments(
    source: Image,
    target: Image,
    *,
    options: Sequence[str] = (),
    compressed: bool = False,
    rate_limit: int | None = None,
    backing: Image | None = None,
    existing: bool = False,
    zeroed: bool = False,
) -> list[str]:
    """The command that copies `source` into the new file `target`, durably, and prints progress.

    `rate_limit` is in bytes per second. With `existing` the target is a block device or file that keeps its size;
    `zeroed` says that it reads as zeros, so that none are written.
    """
    cache = "none" if takes_direct_io(os.path.dirname(target.path)) else "writeback"
    limit = ["-r", str(rate_limit)] if rate_limit else []
    below = ["-B", backing.path, "-F", backing.driver] if backing else []
    flags = [*(["-c"] if compressed else []), *(["-n"] if existing else []), *(["--target-is-zero"] if zeroed else [])]
    return [
        PROGRAM, "convert", "-p", "-t", cache, *_PARALLEL, *limit, *flags, *below,
        "-f", source.driver, "-O", target.driver, *options, source.path, target.path,
    ]  # fmt: skip


def takes_direct_io(folder: str) -> bool:
    """Whether files in `folder` can be written past the page cache; asked with a file that never has a name."""
    try:
        handle = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_DIRECT, 0o600)
    except OSError:
        return False
    os.close(handle)
    return True
