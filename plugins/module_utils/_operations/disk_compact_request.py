# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a compaction is asked to do, in values that a job can carry and a record can keep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .._errors import InvalidOption, Unsupported
from .._files import fingerprint, partial_path, real_path
from .._formats.chain import BACKING, Link
from .._formats.facts import ImageFacts
from .._formats.names import canonical_format
from .._qemu.found import found_options
from .._qemu.options import TABLES, virtual_size
from .._records import Record, read_record
from .._sizes import parse_size
from .inspection import Inspected, inspect_named
from .long_work import bandwidth_of, check_timeout

KEEP, LAST = "keep", "last"
ALWAYS, AUTO, NEVER = "always", "auto", "never"
_RESIZED = ("raw", "qcow2")
_ZLIB = "zlib"


@dataclass(frozen=True)
class Base:
    """The file below an overlay: how the header names it, where it is, its format."""

    name: str
    path: str
    format: str


@dataclass(frozen=True)
class CompactRequest:
    """One compaction; plain values only. Sizes are bytes; `size` is that of the new disk, also when it stays.

    `options` are the creation options of the new image: those that the old one has, and the compression that is asked for.
    """

    path: str
    format: str
    files: list[dict[str, Any]]
    allowed: list[str]
    old_size: int
    size: int
    options: dict[str, Any]
    compress: bool
    base: Base | None
    discard: str
    grow_partition: str | None
    guest_timeout: int
    bandwidth: int | None
    declared: dict[str, Any]

    @property
    def grows(self) -> bool:
        return self.size > self.old_size


def declared_of(params: dict[str, Any]) -> dict[str, Any]:
    """The options that tell one result from another, as the record keeps them; raises InvalidOption."""
    size = parse_size(params["size"], option="size") if params["size"] else None
    return {
        "compression": params["compression"],
        "discard": params["discard"],
        "size": size,
        "grow_partition": _partition(params),
    }


def _partition(params: dict[str, Any]) -> str | None:
    wanted: str | None = params["grow_partition"]
    if wanted is None:
        return None
    if not params["size"]:
        raise InvalidOption("grow_partition: a partition grows into new room only; give 'size' too.")
    if wanted != LAST and not (wanted.isascii() and wanted.isdecimal() and int(wanted)):
        raise InvalidOption(f"grow_partition: '{wanted}' is no partition; give its number from 1 on, or 'last'.")
    return wanted


def check_params(params: dict[str, Any]) -> None:
    """Raise InvalidOption for what can be said without looking at the image."""
    if not os.path.isabs(params["path"]):
        raise InvalidOption(f"path: '{params['path']}' is not an absolute path; give one that starts with a slash.")
    if params["guest_timeout"] <= 0:
        raise InvalidOption(f"guest_timeout: {params['guest_timeout']} seconds are no time; give 1 or more.")
    check_timeout(params)


def compacted(params: dict[str, Any]) -> Record | None:
    """The record of an image that was compacted with these very options and not written to since, None for any other."""
    path = real_path(params["path"])
    record, found = read_record(path), fingerprint(path)
    if record is None or found is None:
        return None
    same_format = params["format"] is None or canonical_format(params["format"]) == record.format
    done = {"options": declared_of(params), "made": found.as_dict()}
    return record if same_format and record.compacted == done else None


def read_request(params: dict[str, Any]) -> CompactRequest:
    """Inspect the image and check all that was given; raises InvalidOption, Unsupported or what inspect() raises."""
    declared = declared_of(params)
    image = inspect_named(params["path"], declared=params["format"], backing=params["backing"] or ())
    facts = image.chain[0].facts
    _require_simple(image)
    base = _base(image)
    options, compress = _options(facts, params["compression"])
    size = _size(image, declared, options)
    if base is not None and declared["grow_partition"] is not None:
        raise Unsupported(
            f"grow_partition: {image.path} is an overlay, and its partitions can't be grown without reading its base into it; "
            f"flatten it with imageops.fleet.disk_chain first."
        )
    return CompactRequest(
        path=image.path,
        format=image.format,
        files=image.identity(),
        allowed=sorted(image.files[1:]),
        old_size=image.virtual_size,
        size=size,
        options=options,
        compress=compress,
        base=base,
        discard=params["discard"],
        grow_partition=declared["grow_partition"],
        guest_timeout=params["guest_timeout"],
        bandwidth=bandwidth_of(params),
        declared=declared,
    )


def _require_simple(image: Inspected) -> None:
    """Raise Unsupported for images that hold what a rewritten one would not."""
    facts = image.chain[0].facts
    problems = {
        "is a block device": not os.path.isfile(image.path),
        "holds no byte": not image.virtual_size,
        "is encrypted": bool(facts.encryption) or facts.format == "luks",
        "keeps its data in other files": bool(facts.references) or facts.data_file is not None,
        f"holds internal snapshots ({_names(facts.snapshots)}), which would be lost; delete them first "
        f"(imageops.fleet.disk_snapshot)": bool(facts.snapshots),
        f"holds dirty bitmaps ({_names(facts.bitmaps)}), which would be lost; remove them first": bool(facts.bitmaps),
        "is of a format that can't be written": facts.format not in TABLES,
    }
    wrong = [told for told, is_so in problems.items() if is_so]
    if wrong:
        raise Unsupported(f"path: {image.path} {wrong[0]}, so it is not compacted.")


def _names(found: Sequence[Any]) -> str:
    return ", ".join(one.name for one in found[:5])


def _base(image: Inspected) -> Base | None:
    below: list[Link] = [link for link in image.chain if link.role == BACKING]
    named = image.chain[0].facts.backing
    if named is None or not below:
        return None
    return Base(named.name, below[0].real_path, below[0].facts.format)


def _options(facts: ImageFacts, compression: str) -> tuple[dict[str, Any], bool]:
    """The creation options of the new image, and whether its clusters are compressed."""
    table = TABLES[facts.format]
    found = {key: value for key, value in found_options(facts).items() if key in table and value is not None}
    if compression == KEEP:
        return found, bool(facts.header.get("compressed_clusters"))
    if facts.format != "qcow2":
        raise InvalidOption(f"compression: a {facts.format} image has no choice of compression; leave it out.")
    if found.get("compat") == "0.10" and compression != _ZLIB:
        raise InvalidOption(f"compression: '{compression}' needs compat 1.1, and {facts.variant} is older; use 'zlib'.")
    return {**found, "compression_type": compression}, True


def _size(image: Inspected, declared: dict[str, Any], options: dict[str, Any]) -> int:
    wanted = declared["size"]
    if wanted is None:
        return image.virtual_size
    size = virtual_size(image.format, wanted, options)
    if size < image.virtual_size:
        raise InvalidOption(
            f"size: {image.path} has {image.virtual_size} bytes, and a disk is never made smaller here; give that or more."
        )
    if size > image.virtual_size and image.format not in _RESIZED:
        raise Unsupported(
            f"size: a {image.format} image can't be made larger in one step; convert it to qcow2 or raw first."
        )
    return size


def hidden_files(path: str) -> tuple[str, str, str]:
    """The files that a compaction of `path` writes: the new image, a copy to discard in, a copy that grew."""
    return partial_path(path), partial_path(path, suffix="-discard"), partial_path(path, suffix="-grown")
