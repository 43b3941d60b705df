# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a conversion is asked to do, in values that a job can carry and a record can keep."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._errors import Conflict, InvalidOption
from .._files import fingerprint, real_path, require_folder
from .._formats.names import canonical_format
from .._jobs.launch import Job
from .._qemu.node import is_block_device
from .._qemu.options import takes_full_space
from .._sizes import parse_size
from .._transfer.checksum import Checksum
from .convert_checksum import asked_checksum
from .convert_device import check_device_options
from .convert_images import needs_passphrase
from .convert_options import Target, read_target
from .device_kind import require_plain
from .device_mark import identity
from .inspection import Inspected, inspect
from .long_work import bandwidth_of, check_timeout
from .operation import Tools

AUTO, OVERLAY, REFLINK = "auto", "overlay", "reflink"
_MOST_PASSPHRASE = 4096
# How a server is asked.
ACCESS = ("url_username", "url_password", "headers")


@dataclass(frozen=True)
class ConvertRequest:
    """Source as inspected, destination by its real path, options typed and canonical. Sizes are bytes.

    `checksum` is what the source's file must have, None when nothing is asked for.
    """

    source: Inspected
    dest: str
    target: Target
    bandwidth: int | None
    sparse_size: int | None
    params: dict[str, Any]
    checksum: Checksum | None = None

    @property
    def format(self) -> str:
        """Format of the new image."""
        return self.target.format

    @property
    def options(self) -> dict[str, Any]:
        """Creation options of its format."""
        return self.target.options

    @property
    def foreseen(self) -> bool:
        """Whether an earlier item of the list makes the source, so that it can't be read yet."""
        return not self.source.files

    @property
    def on_device(self) -> bool:
        """Whether the image is written onto a block device."""
        return is_block_device(self.dest)

    @property
    def secrets(self) -> dict[str, str]:
        """The passphrases of source and target, as far as they are needed."""
        given = {"source": self.params["src_passphrase"], "target": self.params["passphrase"]}
        return {name: text for name, text in given.items() if text is not None}

    @property
    def made_from(self) -> dict[str, Any]:
        """The source as the record keeps it."""
        return {"path": self.source.path, "files": self.source.identity(), **self.proven}

    @property
    def proven(self) -> dict[str, str]:
        """The checksum as records, jobs and results tell it; nothing when none is asked for."""
        return {"checksum": self.checksum.text} if self.checksum else {}

    @property
    def declared(self) -> dict[str, Any]:
        """The options as the record keeps them."""
        below = {"backing": self.source.path, "backing_format": self.source.format}
        return {**self.target.declared, **(below if self.params["method"] == OVERLAY else {})}

    def job(self, version: str) -> Job:
        """The job that does it; equal requests give equal jobs."""
        params = {
            "src": self.source.path,
            "src_format": self.source.format,
            "src_backing": sorted(self.source.files[1:]),
            "source": self.source.identity(),
            "dest": self.dest,
            "dest_before": _destination(self.dest),
            "format": self.format,
            "options": self.options,
            "encryption": self.target.encryption,
            "compress": self.target.compress,
            "declared": self.declared,
            "method": self.params["method"],
            "sparse_size": self.sparse_size,
            "bandwidth": self.bandwidth,
            "verify": self.params["verify"],
            "search_paths": sorted(self.params["search_paths"] or ()),
            "owner": self.params["owner"],
            "group": self.params["group"],
            "mode": self.params["mode"],
            "tool": f"imageops.fleet {version}",
            **self.proven,
        }
        return Job("convert", self.dest, params, _entry, secrets=self.secrets)


def _entry() -> str:
    from . import convert_job

    return convert_job.__name__


def _destination(dest: str) -> dict[str, Any] | None:
    """What tells whether somebody else changes the destination meanwhile."""
    if is_block_device(dest):
        return identity(dest)
    found = fingerprint(dest)
    return found.as_dict() if found else None


def read_request(params: dict[str, Any], tools: Tools) -> ConvertRequest:
    """Inspect the source and check all that one conversion was given.

    Raises InvalidOption, NotFound, UnsafeImage or Conflict with the option's name.
    """
    if not params["src"]:
        raise InvalidOption(f"src: nothing is given to make {params['dest']} from; give the path of the source image.")
    for option in ("src", "dest"):
        if not os.path.isabs(params[option]):
            raise InvalidOption(
                f"{option}: '{params[option]}' is not an absolute path; give one that starts with a slash."
            )
    check_timeout(params)
    _check_passphrases(params)
    _check_access(params)
    dest = real_path(params["dest"])
    target = read_target(params["format"], params["options"] or {}, passphrase=params["passphrase"])
    _check_destination(dest, target, params)
    _check_method(dest, target, params)
    source = _source(params, tools)
    if dest in (source.path, *source.files):
        raise InvalidOption(f"dest: {dest} is the source itself or a part of its chain; give another path.")
    _require_passphrase(source, params)
    return ConvertRequest(
        source=source,
        dest=dest,
        target=target,
        bandwidth=bandwidth_of(params),
        sparse_size=_sparse_size(params["sparse_size"]),
        params=params,
        checksum=asked_checksum(source.path, params),
    )


def _check_access(params: dict[str, Any]) -> None:
    """Raise InvalidOption for what only a server could be told."""
    for option in ACCESS:
        if params.get(option):
            raise InvalidOption(
                f"{option}: is for a source with a URL, and {params['src']} is a path; leave it out, or give it to the items whose "
                f"src is a URL."
            )


def _check_destination(dest: str, target: Target, params: dict[str, Any]) -> None:
    if is_block_device(dest):
        check_device_options(dest, target, params)
        return
    require_folder(dest, option="dest")
    if os.path.lexists(dest) and not os.path.isfile(dest):
        raise Conflict(
            f"dest: {dest} is neither a regular file nor a block device, and only those are written; give another path."
        )


def _check_method(dest: str, target: Target, params: dict[str, Any]) -> None:
    """An overlay is a new qcow2 file that holds nothing by itself."""
    if params["method"] != OVERLAY:
        return
    if target.format != "qcow2" or is_block_device(dest):
        raise InvalidOption(
            f"method: only a qcow2 file can be an overlay, and {dest} shall be none; use 'method: auto'."
        )
    if target.compress or target.encryption is not None or takes_full_space(target.options):
        raise InvalidOption(
            "method: an overlay holds no data that could be compressed, encrypted or given space; use 'auto'."
        )


def _source(params: dict[str, Any], tools: Tools) -> Inspected:
    path = real_path(params["src"])
    foreseen = tools.forecast.get(path)
    if foreseen:
        _check_foreseen(path, params["src_format"], foreseen["format"])
        return Inspected.foreseen(path, foreseen)
    found = inspect(params["src"], declared=params["src_format"], backing=params["src_backing"] or (), option="src")
    if not found.virtual_size:
        raise InvalidOption(
            f"src: {found.path} holds no byte of a disk, so nothing can be made of it; give another source."
        )
    for one in found.files:
        if is_block_device(one):
            require_plain(one, option="src", instead="copy it into a file with a tool of its own, and convert that")
    return found


def _check_foreseen(path: str, declared: str | None, format: str) -> None:
    if declared and canonical_format(declared) != format:
        raise Conflict(f"src_format: {path} will be a {format} image, declared is {declared}; declare what it is.")


def _check_passphrases(params: dict[str, Any]) -> None:
    for option in ("passphrase", "src_passphrase"):
        if len(params[option] or "") > _MOST_PASSPHRASE:
            raise InvalidOption(f"{option}: it is longer than {_MOST_PASSPHRASE} characters; give a shorter one.")
        if "\0" in (params[option] or ""):
            raise InvalidOption(f"{option}: it holds a NUL character, with which QEMU can't use it; give one without.")


def _require_passphrase(source: Inspected, params: dict[str, Any]) -> None:
    encrypted, given = needs_passphrase(source), params["src_passphrase"]
    if encrypted and not given:
        raise InvalidOption(
            f"src_passphrase: {source.path} is encrypted, and none is given; give the one it was made with."
        )
    if given and source.files and not encrypted:
        raise InvalidOption(
            f"src_passphrase: {source.path} is not encrypted, nor is a file below it; leave it out, or give it to the items whose "
            f"src is encrypted."
        )


def _sparse_size(value: str | None) -> int | None:
    """The least run of zeros that becomes a hole, in bytes; None leaves it to QEMU (4 KiB)."""
    if value is None:
        return None
    size = 0 if str(value) == "0" else parse_size(value, option="sparse_size")
    if size % 512 or size > 1 << 30:
        raise InvalidOption(f"sparse_size: '{value}' is not allowed; use 0 or a multiple of 512 bytes up to 1 GiB.")
    return size
