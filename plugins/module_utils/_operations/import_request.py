# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an import is asked to do, in values that a job can carry and a record can keep."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import Conflict, InvalidOption, NotFound, UnsafeImage
from .._files import real_path, require_absolute, require_folder
from .._formats.names import canonical_format
from .._jobs.launch import Job
from .._portable.iso_reader import is_iso
from .._transfer.decompress import compression_of, decompressed
from .export_state import state_of
from .import_members import parts_of_iso
from .import_package import descriptor_of_folder
from .inspection import identity_of, inspect
from .long_work import bandwidth_of, check_timeout

KIND = "import"
# What a source is: an OVF package, an archive that is read as a stream, a medium with one disk, a disk.
PACKAGE, ARCHIVE, MEDIUM, DISK = "package", "archive", "medium", "disk"
_HEAD = 34 << 10
_ARCHIVES = (".ova", ".box", ".tar", ".tar.gz", ".tgz")
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_SUFFIXES = (
    ".gz",
    ".xz",
    ".zst",
    ".bz2",
    ".tar",
    ".iso",
    ".tgz",
    ".box",
    ".ova",
    ".ovf",
    ".img",
    ".qcow2",
    ".raw",
    ".vmdk",
    ".vhd",
    ".vhdx",
    ".vdi",
)


@dataclass(frozen=True)
class ImportRequest:
    """One import. `kind` and `compression` are what the source's first bytes show, `files` its fingerprints, `before` what is at `dest`."""

    dest: str
    src: str
    kind: str
    compression: str
    files: list[dict[str, Any]]
    name: str
    format: str
    src_format: str
    bus: str
    network: str
    trusted: str
    drivers: str = ""
    bandwidth: int | None = None
    owner: str | None = None
    group: str | None = None
    mode: str | int | None = None
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def made_from(self) -> dict[str, Any]:
        """The source as the record keeps it."""
        return {"path": self.src, "files": self.files}

    @property
    def declared(self) -> dict[str, Any]:
        """What makes the disks what they are, beside the source."""
        told = {"disk_format": self.format, "src_format": self.src_format, "name": self.name, "drivers": self.drivers}
        return {**told, **({"trusted": self.trusted} if self.trusted else {})}

    def job(self, version: str) -> Job:
        """The job that does it; equal requests give equal jobs."""
        return Job(KIND, self.dest, {**asdict(self), "tool": f"imageops.fleet {version}"}, _entry)


def _entry() -> str:
    from . import import_job

    return import_job.__name__


def request_of_job(params: Mapping[str, Any]) -> ImportRequest:
    """The request that a job's params describe."""
    return ImportRequest(**{name: params[name] for name in ImportRequest.__dataclass_fields__})


def read_request(params: dict[str, Any]) -> ImportRequest:
    """Look at the source's first bytes and check all that one import was given; raises what speaks against it."""
    check_timeout(params)
    dest = _destination(params)
    src = _source(params)
    kind, compression = kind_of(src)
    if params["trusted_certificates"]:
        require_absolute(params["trusted_certificates"], option="trusted_certificates")
        if kind != PACKAGE:
            raise InvalidOption(
                f"trusted_certificates: {src} is no OVF package, or a compressed one, and signatures of others are not proven; unpack "
                f"it, or leave the option out."
            )
        if not os.path.isfile(params["trusted_certificates"]):
            raise NotFound(
                f"trusted_certificates: there is no file {params['trusted_certificates']} on the host; give the path of one."
            )
    if params["src_format"] and kind != DISK:
        raise InvalidOption(
            f"src_format: {src} is no disk but a package of disks, which tell their formats; leave it out."
        )
    src_format = canonical_format(params["src_format"]) if params["src_format"] else ""
    files = _disk_files(src, src_format) if kind == DISK and not compression else identity_of(_files(src))
    if any(one["path"] == dest or one["path"].startswith(dest + os.sep) for one in files):
        raise InvalidOption(f"dest: {dest} is, or holds, the source; give another path.")
    return ImportRequest(
        dest=dest,
        src=src,
        kind=kind,
        compression=compression,
        files=files,
        name=params["name"] or "",
        format=params["format"],
        src_format=src_format,
        bus=params["bus"] or "",
        network=params["network"] or "",
        trusted=params["trusted_certificates"] or "",
        drivers=params["drivers"] or "",
        bandwidth=bandwidth_of(params),
        owner=params["owner"],
        group=params["group"],
        mode=params["mode"],
        before=state_of(dest),
    )


def _destination(params: Mapping[str, Any]) -> str:
    require_absolute(params["dest"], option="dest")
    dest = real_path(params["dest"])
    require_folder(dest, option="dest")
    if os.path.lexists(dest) and not os.path.isdir(dest):
        raise Conflict(f"dest: {dest} is there and is no folder, and an import makes one; give another path.")
    return dest


def _source(params: Mapping[str, Any]) -> str:
    if not params["src"]:
        raise InvalidOption(
            f"src: nothing says what {params['dest']} is made from; give the path of a package or a disk."
        )
    require_absolute(params["src"], option="src")
    src = real_path(params["src"])
    if os.path.isdir(src):
        return descriptor_of_folder(src)
    if not os.path.exists(src):
        raise NotFound(f"src: {src} does not exist; give the path of an existing file.")
    if not os.path.isfile(src):
        raise Conflict(f"src: {src} is no regular file; give the path of one.")
    return src


def _disk_files(src: str, format: str) -> list[dict[str, Any]]:
    """A disk and all below it, whose content becomes that of the import too; raises what inspecting it raises."""
    return inspect(src, declared=format or None, option="src").identity()


def _files(src: str) -> list[str]:
    """The source, and of a descriptor all files beside it that may belong to it: it is cheaper to name them than to read it."""
    if not src.lower().endswith(".ovf"):
        return [src]
    folder = os.path.dirname(src)
    beside = (os.path.join(folder, name) for name in sorted(os.listdir(folder))[:1000])
    return [src, *(path for path in beside if path != src and os.path.isfile(path))]


def kind_of(src: str) -> tuple[str, str]:
    """What the file is by its first bytes, and how it is compressed."""
    if src.lower().endswith(".ovf"):
        return PACKAGE, ""
    with open(src, "rb") as stream:
        head = stream.read(_HEAD)
        compression = compression_of(head)
        if compression:
            stream.seek(0)
            head = _head_of(decompressed(compression, stream.read, where=f"src: {src}"))
    if is_iso(head) and not compression:
        return _of_iso(src), ""
    if not is_tar(head):
        if src.lower().endswith(_ARCHIVES):
            raise UnsafeImage(f"src: {src} is no sound tar, as which it is named; get it again.")
        return DISK, compression
    first = head[:100].partition(b"\0")[0].lower()
    return (PACKAGE if first.endswith(b".ovf") and not compression else ARCHIVE), compression


def _head_of(pieces: Iterator[bytes]) -> bytes:
    """The first bytes of a stream, whose pieces may be small."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= _HEAD:
            break
    return head[:_HEAD]


def _of_iso(src: str) -> str:
    """What is on a medium: an OVF package, else a disk."""
    with open(src, "rb") as stream:
        names = parts_of_iso(stream.fileno(), src)
    return PACKAGE if any(name.lower().endswith(".ovf") for name in names) else MEDIUM


def is_tar(head: bytes) -> bool:
    """Whether a file begins with a tar's header: its checksum is right."""
    if len(head) < 512 or not head[0]:
        return False
    digits = head[148:156].strip(b"\0 ")
    if not digits or digits.strip(b"01234567"):
        return False
    return int(digits, 8) == sum(head[:148]) + 8 * ord(" ") + sum(head[156:512])


def name_of(src: str) -> str:
    """A machine's name by its source's."""
    name = os.path.basename(src)
    while name.lower().endswith(_SUFFIXES):
        name = name[: name.rindex(".")]
    return name or "vm"


def base_of(name: str) -> str:
    """What files of a machine of that name begin with."""
    return _NOT_IN_NAMES.sub("-", name).strip("-.")[:63] or "vm"
