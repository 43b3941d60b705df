# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An image that an operation wants to read: inspected whole, refused unless safe, named by its fingerprints."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .._errors import Conflict, InvalidOption, UnsafeImage
from .._files import Fingerprint, fingerprint, real_path, require_absolute, require_regular
from .._formats.chain import Link, Opener, OpenImage, inspect_chain, open_image
from .._formats.names import canonical_format
from .._formats.safety import verdict
from .._records import files_beside, read_record

# Debian's and Fedora's names of the account that QEMU runs as.
_QEMU_ACCOUNTS = ("libvirt-qemu", "qemu")
# The options that name the files below an image, by the option that names the image itself.
_BELOW = {"src": "src_backing", "compare_to": "compare_backing", "backing.path": "backing.chain"}


@dataclass(frozen=True)
class Inspected:
    """A safe image: its format, virtual size in bytes, and the real paths of its chain, itself first.

    `fingerprints` tell what the chain's files were when they were read. `pinned` are descriptors of the very files that
    were inspected, where they are held.
    """

    path: str
    format: str
    virtual_size: int
    files: tuple[str, ...]
    chain: tuple[Link, ...] = ()
    fingerprints: tuple[dict[str, Any], ...] = ()
    pinned: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def foreseen(cls, path: str, facts: dict[str, Any]) -> Inspected:
        """An image that an earlier item of the list will make."""
        return cls(path, str(facts["format"]), int(facts["virtual_size"]), ())

    def identity(self) -> list[dict[str, Any]]:
        """Path and fingerprint of every file of the chain: what a record keeps of its source."""
        return [dict(found) for found in self.fingerprints]

    @property
    def telling(self) -> bool:
        """Whether equal fingerprints mean equal content; a block device's node doesn't tell of writes."""
        return all(os.path.isfile(path) for path in self.files)


class Pins:
    """Holds every file that an inspection opens, so that an engine can be given what was inspected."""

    def __init__(self) -> None:
        self.handles: dict[str, int] = {}

    @contextlib.contextmanager
    def open(self, path: str) -> Iterator[OpenImage]:
        """Open as open_image does, and keep the file."""
        with open_image(path) as image:
            real = os.path.realpath(path)
            if real not in self.handles:
                self.handles[real] = os.dup(image.stream.fileno())
            yield image

    def close(self) -> None:
        """Let go of the files."""
        while self.handles:
            os.close(self.handles.popitem()[1])


def inspect(
    path: str, *, declared: str | None, backing: Sequence[str] = (), option: str = "path", opener: Opener = open_image
) -> Inspected:
    """Inspect `path` and all below it; `backing` are files that its chain may use.

    What our own valid record names as backing is allowed too. Raises InvalidOption for a relative path in `backing`, NotFound,
    Conflict (format contradicted) or UnsafeImage with the findings.
    """
    for name in backing:
        require_absolute(name, option=_BELOW.get(option, "backing"))
    real = real_path(path)
    require_regular(real, option=option)
    wanted = canonical_format(declared, option=f"{option}_format") if declared else None
    chain = inspect_chain(real, declared=wanted, opener=opener)
    allowed = {real_path(name) for name in backing} | recorded_backing([link.real_path for link in chain])
    refused = [found for _where, found in verdict(chain, allowed_backing=allowed).refusals]
    contradiction = [finding for finding in refused if finding.rule == "format-contradiction"]
    if contradiction:
        raise Conflict(
            f"{option}: {path}: {contradiction[0].message}", findings=[finding.__dict__ for finding in refused]
        )
    if refused:
        raise UnsafeImage(
            f"{option}: {path} is not safe to use: " + " ".join(finding.message for finding in refused),
            findings=[finding.__dict__ for finding in refused],
        )
    facts = chain[0].facts
    files = tuple(link.real_path for link in chain)
    return Inspected(real, facts.format, facts.virtual_size, files, tuple(chain), tuple(identity_of(files)))


def inspect_named(
    path: str, *, declared: str | None, backing: Sequence[str] = (), option: str = "path", named_by: str = "format"
) -> Inspected:
    """Inspect an image whose format is declared, in our record, or told by its own signature, and by nothing less.

    `named_by` is the option that declares it. Raises InvalidOption for a file that is raw as far as nothing says otherwise, and
    what `inspect` raises.
    """
    record = read_record(real_path(path))
    name = declared or (record.format if record else None)
    found = inspect(path, declared=name, backing=backing, option=option)
    if name is None and found.format == "raw":
        raise InvalidOption(
            f"{named_by}: {found.path} has no signature of a disk format, and a guest may write one into a raw disk; "
            f"say 'format: raw' when it is raw."
        )
    return found


def identity_of(files: Sequence[str]) -> list[dict[str, Any]]:
    """Path and fingerprint of every file as it is now."""
    found = ((path, fingerprint(path)) for path in files)
    return [{"path": path, **(status.as_dict() if status else {})} for path, status in found]


def pinned_identity(pinned: Mapping[str, int], files: Sequence[str]) -> list[dict[str, Any]]:
    """Path and fingerprint of every file that is held."""
    found = []
    for path in files:
        status = os.fstat(pinned[path])
        mark = Fingerprint(status.st_ino, status.st_size, status.st_mtime_ns)
        found.append({"path": path, **mark.as_dict()})
    return found


def recorded_backing(paths: Sequence[str]) -> set[str]:
    """Real paths of the backing files and the extents that the valid records on `paths` name.

    Who may write to a file may write its record too, so one on a file of an ordinary user opens no other file.
    """
    found = set()
    for path in paths:
        record = read_record(path)
        if record is not None and (record.files or record.options) and _is_ours(os.stat(path)):
            found |= {os.path.realpath(one) for one in files_beside(path, record)}
            found |= {real_path(record.options["backing"])} if record.options.get("backing") else set()
            # What it rests on until an interrupted change of its chain is finished.
            found |= {real_path(one["path"]) for one in record.dropped}
    return found


def _is_ours(status: os.stat_result) -> bool:
    """Whether only we, root, or the account that libvirt gives disks to can write to a file."""
    ours = status.st_uid in (0, os.geteuid()) or _account(status.st_uid) in _QEMU_ACCOUNTS
    return ours and not status.st_mode & stat.S_IWOTH


def _account(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return ""
