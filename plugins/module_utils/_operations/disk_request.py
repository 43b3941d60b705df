# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What one item of the module disk declares, checked and in canonical values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from .._errors import InUse, InvalidOption, NotFound
from .._files import fingerprint, real_path, require_folder
from .._formats.names import canonical_format
from .._qemu.image import Image
from .._qemu.image_locks import holders
from .._qemu.options import creatable, engine_arguments, parse_options, takes_full_space, virtual_size
from .._records import read_record
from .._sizes import format_size, parse_size
from .inspection import inspect
from .operation import Tools


@dataclass(frozen=True)
class Base:
    """The backing file of an overlay; `files` are the real paths of its chain. A foreseen one isn't there yet."""

    path: str
    format: str
    virtual_size: int
    files: tuple[str, ...]
    foreseen: bool = False

    def as_dict(self) -> dict[str, Any]:
        """As results show it."""
        return {"path": self.path, "format": self.format}


@dataclass(frozen=True)
class DiskRequest:
    """The declared disk: `options` are those that were given, `size` is None when nothing is said about it."""

    path: str
    format: str
    size: int | None
    options: dict[str, Any]
    base: Base | None
    params: dict[str, Any]

    @property
    def virtual_size(self) -> int | None:
        """The size that the format makes of the declared one, or that the backing file gives."""
        size = self.base.virtual_size if self.size is None and self.base else self.size
        return None if size is None else virtual_size(self.format, size, self.options)

    @property
    def engine_options(self) -> list[str]:
        """The options for qemu-img create."""
        return engine_arguments(self.format, self.options)

    @property
    def ownership(self) -> dict[str, Any]:
        """Owner, group and mode as given."""
        return {name: self.params[name] for name in ("owner", "group", "mode")}

    @property
    def image(self) -> Image:
        """For the engine."""
        return Image(self.path, self.format)


def item_path(params: dict[str, Any]) -> str:
    """The real path of an item; raises InvalidOption for a relative one."""
    return _absolute(params["path"], option="path")


def read_request(params: dict[str, Any], tools: Tools, *, first: bool) -> DiskRequest:
    """Check all options of an item that shall be present; on the `first` look what earlier items will make counts too."""
    path = item_path(params)
    require_folder(path, option="path")
    if params["force"]:
        raise InvalidOption("force: has a meaning only with 'state: absent'; leave it out.")
    name = canonical_format(params["format"])
    options = parse_options(name, params["options"] or {})
    creatable(name, options)
    base = _base(params["backing"], tools, first=first)
    if base:
        _check_overlay(path, name, options, base)
    size = None if params["size"] is None else parse_size(params["size"])
    return DiskRequest(path=path, format=name, size=size, options=options, base=base, params=params)


def check_creation(request: DiskRequest) -> int:
    """The virtual size of the image to create; raises InvalidOption when it isn't right, InUse for its backing file."""
    if request.virtual_size is None:
        raise InvalidOption(
            f"size: {request.path} does not exist, and without a backing file it needs a size, such as 20GiB."
        )
    if request.base and request.virtual_size < request.base.virtual_size and not request.params["allow_shrink"]:
        raise InvalidOption(
            f"size: {format_size(request.virtual_size)} is less than the {format_size(request.base.virtual_size)} of the backing "
            f"file {request.base.path}, so the guest would lose its end; give a larger size, or 'allow_shrink: true'."
        )
    if request.base:
        _check_idle(request.base.path)
    return request.virtual_size


def _check_idle(base: str) -> None:
    found = holders(base)
    if found and found.writing:
        raise InUse(
            f"backing.path: {base} is {found.sentence()}; an overlay needs a backing file that nothing writes to."
        )


def _absolute(path: str, *, option: str) -> str:
    if not os.path.isabs(path):
        raise InvalidOption(f"{option}: '{path}' is not an absolute path; give one that starts with a slash.")
    return real_path(path)


def _base(declared: dict[str, Any] | None, tools: Tools, *, first: bool) -> Base | None:
    if declared is None:
        return None
    path = _absolute(declared["path"], option="backing.path")
    foreseen = tools.forecast.get(path, {}) if first else {}
    if foreseen.get("state") == "absent":
        raise NotFound(f"backing.path: {path} will have been removed by an earlier item of the list.")
    tools.bases.keep(path)
    if foreseen and fingerprint(path) is None:
        return _foreseen(path, declared, foreseen)
    return _inspected(path, declared)


def _foreseen(path: str, declared: dict[str, Any], facts: dict[str, Any]) -> Base:
    name = canonical_format(declared["format"] or facts["format"], option="backing.format")
    if name != facts["format"]:
        raise InvalidOption(f"backing.format: {path} will be a {facts['format']} image, not {name}.")
    return Base(path, name, int(facts["virtual_size"]), (path,), foreseen=True)


def _inspected(path: str, declared: dict[str, Any]) -> Base:
    """The backing file as it is; its format is declared, in our record, or told by its own signature."""
    record = read_record(path)
    name = declared["format"] or (record.format if record else None)
    found = inspect(path, declared=name, backing=declared["chain"] or (), option="backing.path")
    if name is None and found.format == "raw":
        raise InvalidOption(
            f"backing.format: {path} has no signature of a disk format, and a guest may write one into a raw disk; "
            f"say 'format: raw' when it is raw."
        )
    return Base(path, found.format, found.virtual_size, found.files)


def _check_overlay(path: str, name: str, options: dict[str, Any], base: Base) -> None:
    if name != "qcow2":
        raise InvalidOption(
            f"backing: a {name} image can't rest on another one here; use 'format: qcow2' for overlays."
        )
    if path in base.files:
        raise InvalidOption(f"backing.path: {base.path} rests on {path} itself; give another path.")
    if takes_full_space(options) and not options.get("extended_l2"):
        raise InvalidOption(
            "options.preallocation: an overlay can be preallocated only with 'extended_l2: true' (it would hide its backing file)."
        )
