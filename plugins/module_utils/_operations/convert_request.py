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
from .._qemu.option import Switch
from .._qemu.options import parse_options
from .._sizes import parse_size
from . import convert_job
from .inspection import Inspected, inspect
from .long_work import check_timeout
from .operation import Tools

_COMPRESS = "compress"


@dataclass(frozen=True)
class ConvertRequest:
    """Source as inspected, destination by its real path, options typed and canonical. Sizes are bytes."""

    source: Inspected
    dest: str
    format: str
    options: dict[str, Any]
    compress: bool
    bandwidth: int | None
    params: dict[str, Any]

    @property
    def foreseen(self) -> bool:
        """Whether an earlier item of the list makes the source, so that it can't be read yet."""
        return not self.source.files

    @property
    def made_from(self) -> dict[str, Any]:
        """The source as the record keeps it."""
        return {"path": self.source.path, "files": self.source.identity()}

    @property
    def declared(self) -> dict[str, Any]:
        """The options as the record keeps them."""
        return {**self.options, **({_COMPRESS: True} if self.compress else {})}

    def job(self, version: str) -> Job:
        """The job that does it; equal requests give equal jobs."""
        found = fingerprint(self.dest)
        params = {
            "src": self.source.path,
            "src_format": self.source.format,
            "src_backing": sorted(self.source.files[1:]),
            "source": self.source.identity(),
            "dest": self.dest,
            "dest_before": found.as_dict() if found else None,
            "format": self.format,
            "options": self.options,
            "compress": self.compress,
            "bandwidth": self.bandwidth,
            "verify": self.params["verify"],
            "owner": self.params["owner"],
            "group": self.params["group"],
            "mode": self.params["mode"],
            "tool": f"imageops.fleet {version}",
        }
        return Job("convert", self.dest, params, convert_job.__name__)


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
    dest = real_path(params["dest"])
    require_folder(dest, option="dest")
    if os.path.lexists(dest) and not os.path.isfile(dest):
        raise Conflict(f"dest: {dest} is not a regular file, and only those are replaced; give another path.")
    source = _source(params, tools)
    if dest in (source.path, *source.files):
        raise InvalidOption(f"dest: {dest} is the source itself or a part of its chain; give another path.")
    name = canonical_format(params["format"])
    given = dict(params["options"] or {})
    compress = _compress(name, given)
    return ConvertRequest(
        source=source,
        dest=dest,
        format=name,
        options=parse_options(name, given),
        compress=compress,
        bandwidth=parse_size(params["bandwidth"], option="bandwidth") if params["bandwidth"] else None,
        params=params,
    )


def _source(params: dict[str, Any], tools: Tools) -> Inspected:
    path = real_path(params["src"])
    foreseen = tools.forecast.get(path)
    if foreseen:
        _check_foreseen(path, params["src_format"], foreseen["format"])
        return Inspected.foreseen(path, foreseen)
    return inspect(params["src"], declared=params["src_format"], backing=params["src_backing"] or (), option="src")


def _check_foreseen(path: str, declared: str | None, format: str) -> None:
    if declared and canonical_format(declared) != format:
        raise Conflict(f"src_format: {path} will be a {format} image, declared is {declared}; declare what it is.")


def _compress(name: str, given: dict[str, Any]) -> bool:
    """Whether clusters are compressed: asked for, or implied by a compression type. Only qcow2 has the choice."""
    if name != "qcow2":
        return False
    value = given.pop(_COMPRESS, None)
    if value is None:
        return given.get("compression_type") is not None
    return Switch(False).parse(value, name="options.compress")
