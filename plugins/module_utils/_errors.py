# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one family of errors: each is a single clear sentence plus details for the result."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator
from typing import Any


class ImageOpsError(Exception):
    """Base of all errors that end a task; `details` become keys of the failed result."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


class InvalidOption(ImageOpsError):
    """An option's value can't be used; the message names option, value, wanted value."""


class UnsafeImage(ImageOpsError):
    """An image names files it wasn't declared to use, or contradicts its declared format."""


class InUse(ImageOpsError):
    """A disk is used by a domain, a chain or a running engine."""


class Conflict(ImageOpsError):
    """What is there contradicts what is asked, and the task must not decide alone."""


class NotFound(ImageOpsError):
    """A file, domain, pool, network or snapshot that the task needs doesn't exist."""


class NoSpace(ImageOpsError):
    """The file system can't hold what the task would write."""


class EngineError(ImageOpsError):
    """QEMU, libvirt or another program failed; details hold cmd, rc and stderr."""


class TransferError(ImageOpsError):
    """A server or the network between gave up, or sent what it must not."""


class TimedOut(ImageOpsError):
    """A wait ended without what it waited for."""


class Unsupported(ImageOpsError):
    """This host, version or format can't do what is asked."""


class MissingLibrary(ImageOpsError):
    """A Python library or program that this operation needs isn't installed."""


@contextlib.contextmanager
def named(hidden: str, shown: str) -> Iterator[None]:
    """Let errors name what users know instead of the file `hidden`."""
    try:
        yield
    except ImageOpsError as error:
        error.args = (str(error).replace(hidden, shown),)
        raise


# Where an error names a file, what can be done.
_WAYS = {
    errno.EACCES: "let the task run as a user who may, or give another path",
    errno.EPERM: "let the task run as a user who may, or give another path",
    errno.ELOOP: "its links lead in a circle, so give another path",
    errno.ENOTDIR: "a part of the path is a file, so give another one",
    errno.ENAMETOOLONG: "give a shorter path",
    errno.EROFS: "give a path on a file system that can be written to",
}


def system_error(error: OSError) -> ImageOpsError:
    """What the operating system said, as one sentence of ours."""
    named = f"{error.filename}: " if error.filename else ""
    said = error.strerror or str(error) or type(error).__name__
    # Who raised it may have told the way out already.
    way = _WAYS.get(error.errno or 0) if error.filename and ";" not in said else None
    kind = NoSpace if error.errno in (errno.ENOSPC, errno.EDQUOT) else ImageOpsError
    return kind(f"{named}{said}{f'; {way}' if way else ''}.", errno=error.errno)
