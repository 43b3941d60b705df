# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one file that imports libvirt: finding it, its errors as ours, its constants by name."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from .._commands import NO_SPACE
from .._errors import EngineError, ImageOpsError, InUse, NoSpace, NotFound, TimedOut, Unsupported
from .._libraries import missing_library

T = TypeVar("T")

# virErrorNumber of libvirt/virterror.h, where another of our errors says more than EngineError.
_KINDS: dict[int, type[ImageOpsError]] = {
    3: Unsupported,  # VIR_ERR_NO_SUPPORT
    42: NotFound,  # VIR_ERR_NO_DOMAIN
    43: NotFound,  # VIR_ERR_NO_NETWORK
    49: NotFound,  # VIR_ERR_NO_STORAGE_POOL
    68: TimedOut,  # VIR_ERR_OPERATION_TIMEOUT
    72: NotFound,  # VIR_ERR_NO_DOMAIN_SNAPSHOT
    74: Unsupported,  # VIR_ERR_ARGUMENT_UNSUPPORTED
    84: Unsupported,  # VIR_ERR_OPERATION_UNSUPPORTED
    86: TimedOut,  # VIR_ERR_AGENT_UNRESPONSIVE
    101: NotFound,  # VIR_ERR_NO_DOMAIN_CHECKPOINT
    112: TimedOut,  # VIR_ERR_AGENT_COMMAND_TIMEOUT
    104: NotFound,  # VIR_ERR_NO_DOMAIN_BACKUP
}


@functools.cache
def library() -> Any:
    """The module `libvirt`, quiet on standard error; raises MissingLibrary.

    It is loaded when it is first needed: what has to do with files only is faster without.
    """
    try:
        import libvirt
    except ImportError:
        ways = "or libvirt-python from PyPI, or point ansible_python_interpreter at one that has it"
        raise missing_library("libvirt", ways) from None
    # Without a handler the C library prints each error on stderr, also those that we expect.
    libvirt.registerErrorHandler(_ignore, None)
    return libvirt


@functools.cache
def agent_library() -> Any:
    """The module `libvirt_qemu`, which is part of libvirt's binding and has the way to a guest's agent."""
    library()
    import libvirt_qemu

    return libvirt_qemu


def _ignore(context: Any, error: Any) -> None:
    return None


@contextlib.contextmanager
def calling(doing: str) -> Iterator[None]:
    """Turn libvirtError into one sentence: `doing` (such as "starting the domain web") and libvirt's own words."""
    failure = library().libvirtError
    try:
        yield
    except failure as error:
        raise _as_ours(error, doing) from None


def tell_each(raws: Iterable[Any], tell: Callable[[Any], T], doing: str) -> list[T]:
    """What `tell` says of each of libvirt's objects, without those that went since they were listed: others work on the host too."""
    found = []
    for raw in raws:
        with contextlib.suppress(NotFound), calling(doing):
            found.append(tell(raw))
    return found


def _as_ours(error: Any, doing: str) -> ImageOpsError:
    # A description that libvirt's schema refuses is told in lines.
    said = "; ".join(str(error.get_error_message() or error).split("\n")).strip("; ").rstrip(".")
    kind = _KINDS.get(error.get_error_code() or 0, EngineError)
    if NO_SPACE in said:
        kind = NoSpace
    elif "Failed to get" in said and "lock" in said:
        kind = InUse
    return kind(f"libvirt refused {doing}: {said}.", libvirt_code=error.get_error_code())
