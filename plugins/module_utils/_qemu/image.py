# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""qemu-img: every call names its formats, and no call is made on a file that our parsers haven't read."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from .._commands import Commands
from .._errors import EngineError
from .node import Image, Opening, image_arguments, is_block_device, opening

__all__ = ["Checked", "Image", "QemuImg", "convert_arguments", "takes_direct_io"]

PROGRAM = "qemu-img"
# Out of order and 16 at a time is the fastest durable way on local disks, and the only one that compresses on all cores.
_PARALLEL = ("-m", "16", "-W")
# QEMU writes their tables one entry at a time, a few bytes each: past the page cache every one is a read and a write of a sector.
_ENTRY_BY_ENTRY = ("vmdk", "vdi")


@dataclass(frozen=True)
class Checked:
    """What `qemu-img check` found; formats without a check are not `checkable`."""

    checkable: bool
    corrupt: bool = False
    leaks: bool = False


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

    def create(
        self,
        image: Image,
        *,
        size: int,
        options: Sequence[str] = (),
        backing: Image | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        """Make a new image; `options` come from options.engine_arguments.

        A backing file isn't opened (-u): our parsers have read it, and its size is known.
        """
        below = ["-u", "-b", backing.path, "-F", backing.driver] if backing else []
        with opening(image) as opened:
            words = [*opened.objects, "-f", image.driver, *options, *opened.key_options(image), *below]
            argv = [PROGRAM, "create", "-q", *words, image.path, str(size)]
            self._commands.output(argv, pass_fds=(*pass_fds, *opened.descriptors))

    def resize(self, image: Image, *, size: int, shrink: bool = False, pass_fds: Sequence[int] = ()) -> None:
        """Give an image that nobody has open another size; shrinking cuts off what lies behind."""
        how = ["--shrink"] if shrink else []
        argv = [PROGRAM, "resize", "-q", "-f", image.driver, *how, image.path, str(size)]
        self._commands.output(argv, pass_fds=pass_fds)

    def check(self, image: Image) -> Checked:
        """What qemu-img says about the consistency of an image's tables."""
        try:
            with opening(image) as opened:
                named, operands = image_arguments([image], opened, flags=["-f"])
                self._commands.output([PROGRAM, "check", "-q", *named, *operands], pass_fds=opened.descriptors)
        except EngineError as error:
            known = {2: Checked(True, corrupt=True), 3: Checked(True, leaks=True), 63: Checked(False)}
            if error.details.get("rc") not in known:
                raise
            return known[error.details["rc"]]
        return Checked(True)

    def compare(self, one: Image, other: Image) -> bool:
        """Whether guests see the same bytes; a longer one is the same when its rest is zeros."""
        try:
            with opening(one, other) as opened:
                named, operands = image_arguments([one, other], opened, flags=["-f", "-F"])
                self._commands.output([PROGRAM, "compare", "-q", *named, *operands], pass_fds=opened.descriptors)
        except EngineError as error:
            if error.details.get("rc") == 1:
                return False
            raise
        return True

    def data_size(self, image: Image) -> int:
        """About how many bytes the data of an image take, uncompressed and together with what lies below it."""
        with opening(image) as opened:
            named, operands = image_arguments([image], opened, flags=["-f"])
            # Of a raw file it would only tell the size of the disk.
            argv = [PROGRAM, "measure", "--output=json", "-O", "qcow2", *named, *operands]
            said = self._commands.output(argv, pass_fds=opened.descriptors)
        return int(json.loads(said)["required"])


def convert_arguments(
    source: Image,
    target: Image,
    *,
    options: Sequence[str] = (),
    compressed: bool = False,
    rate_limit: int | None = None,
    sparse_size: int | None = None,
    backing: Image | None = None,
    existing: bool = False,
    zeroed: bool = False,
    snapshot: str = "",
    opened: Opening | None = None,
) -> list[str]:
    """The command that copies `source` into the new file `target`, durably, and prints progress.

    `rate_limit` is in bytes per second; runs of `sparse_size` zero bytes become holes, 0 writes them all. With `existing`
    the target is a block device or file that keeps its size; `zeroed` says that it reads as zeros, so that none are
    written. An internal `snapshot` is read also while a VM has the image open, since nobody writes to what it names.
    `opened` comes from node.opening() for images that aren't plain.
    """
    cache = "none" if _past_page_cache(target) else "writeback"
    limit = ["-r", str(rate_limit)] if rate_limit else []
    sparse = [] if sparse_size is None else ["-S", str(sparse_size)]
    below = ["-B", backing.path, "-F", backing.driver] if backing else []
    flags = [*(["-c"] if compressed else []), *(["-n"] if existing else []), *(["--target-is-zero"] if zeroed else [])]
    # A comma in a value is written twice (QEMU's keyval syntax).
    of = ["-U", "-l", f"snapshot.name={snapshot.replace(',', ',,')}"] if snapshot else []
    named, operands, made = ["-f", source.driver], [source.path], ["-O", target.driver, *options, target.path]
    if opened is not None:
        named = [*opened.objects, "--image-opts"]
        operands = [opened.options(source)]
        made = _new(target, opened, options=options, existing=existing)
    return [
        PROGRAM, "convert", "-p", "-t", cache, *_PARALLEL, *limit, *sparse, *flags, *below, *of,
        *named, *made[:-1], *operands, made[-1],
    ]  # fmt: skip


def _past_page_cache(target: Image) -> bool:
    if is_block_device(target.path):
        return True
    return target.driver not in _ENTRY_BY_ENTRY and takes_direct_io(os.path.dirname(target.path))


def _new(target: Image, opened: Opening, *, options: Sequence[str], existing: bool) -> list[str]:
    if existing and not target.plain:
        return ["--target-image-opts", opened.options(target)]
    return ["-O", target.driver, *options, *opened.key_options(target), target.path]


def takes_direct_io(folder: str) -> bool:
    """Whether files in `folder` can be written past the page cache; asked with a file that never has a name."""
    try:
        handle = os.open(folder, os.O_RDWR | os.O_TMPFILE | os.O_DIRECT, 0o600)
    except OSError:
        return False
    os.close(handle)
    return True
