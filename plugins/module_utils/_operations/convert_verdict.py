# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a destination that is there already means for a conversion, by its record and, where that can't tell, its content."""

from __future__ import annotations

from dataclasses import replace

from .._errors import Conflict, InUse
from .._files import real_path
from .._formats.chain import Link, backing_path
from .._formats.names import qemu_driver
from .._formats.safety import refusals
from .._qemu.image import QemuImg
from .._qemu.image_locks import holders
from .._qemu.node import Image
from .._qemu.options import virtual_size
from .._records import Record, files_beside, read_record
from .convert_checksum import require_checksum_of
from .convert_found import Found, find, keep_record, top_link
from .convert_images import is_encrypted, source_image, told_clearly
from .convert_options import same_options
from .convert_request import OVERLAY, ConvertRequest

# Nothing to do; the content is right and only the record is out of date; convert.
KEEP, REFRESH, CONVERT = "keep", "refresh", "convert"


def judge(request: ConvertRequest, engine: QemuImg) -> str:
    """KEEP, REFRESH or CONVERT; raises Conflict for content that would be lost and was not made by a conversion."""
    found = find(request.dest)
    made = _tells(request, found.record)
    if request.params["force"]:
        return KEEP if made and found.clean else CONVERT
    deep = request.params["verify"] == "deep"
    # "Made from this source" stays true when a VM writes to the image later.
    if made and not deep:
        return KEEP
    if request.checksum and not deep and _tells(replace(request, checksum=None), found.record):
        # The source is the one that was converted, so only the checksum is to be compared.
        require_checksum_of(request.source.path, request.checksum)
        return REFRESH if found.clean else KEEP
    # A copy that is as it was made and has the options is compared, anything else only when asked.
    comparable = (deep and not found.unfinished) or (found.clean and _alike(request, found.record))
    if comparable and _equal(request, engine):
        if made:
            return KEEP
        if request.checksum:
            require_checksum_of(request.source.path, request.checksum)
        return REFRESH
    require_replaceable(request)
    return CONVERT


def require_replaceable(request: ConvertRequest, *, comparable: bool = True) -> None:
    """Raise Conflict unless what is at `dest` is an untouched conversion of ours, or `force` is given.

    `comparable` says that the source's content can be compared with it.
    """
    why = _why_not(find(request.dest))
    if request.params["force"] or not why:
        return
    raise Conflict(
        f"dest: {request.dest} exists and {why}, so it is not replaced; give another dest"
        + (
            ", 'force: true' to replace it, or 'verify: deep' to keep it when its content equals the source's."
            if comparable
            else ", or 'force: true' to replace it."
        )
    )


def _why_not(found: Found) -> str:
    """Why what is there must not be replaced, an empty string when it may be."""
    if found.unfinished:
        return ""
    if found.record is None:
        return "was not made by imageops.fleet (it has no record)"
    if not found.clean:
        return "was written to since it was made"
    if found.record.operation != "convert":
        return f"was made by another operation ({found.record.operation})"
    return ""


def refresh_record(request: ConvertRequest, version: str) -> None:
    """Let the record name the source as it was when it was compared; the image's bytes stay."""
    record = find(request.dest).record or Record(operation="convert", format=request.format, virtual_size=0)
    now = replace(
        record,
        operation="convert",
        format=request.format,
        virtual_size=_wanted_size(request),
        source=request.made_from,
        options=request.declared,
        tool=f"imageops.fleet {version}",
    )
    keep_record(request.dest, now)


def _tells(request: ConvertRequest, record: Record | None) -> bool:
    """Whether the record tells of just this conversion, and can be believed about the source."""
    if record is None or not _alike(request, record) or not request.source.telling:
        return False
    # A checksum that was compared once and isn't asked for any more makes no difference.
    return {**record.source, **request.made_from} == record.source


def _alike(request: ConvertRequest, record: Record | None) -> bool:
    """Whether the record tells of a conversion to the same format with the same options."""
    if record is None or (record.operation, record.format) != ("convert", request.format):
        return False
    return same_options(request.format, record.options, request.declared)


def _wanted_size(request: ConvertRequest) -> int:
    return virtual_size(request.format, request.source.virtual_size, request.options)


def _rests_rightly(request: ConvertRequest, link: Link) -> bool:
    """Whether the image rests on nothing, or as an overlay on its source."""
    backing = link.facts.backing
    if request.params["method"] != OVERLAY or backing is None:
        return backing is None
    return (real_path(backing_path(link.path, backing.name)), backing.format) == (
        request.source.path,
        qemu_driver(request.source.format),
    )


def _is_safe(request: ConvertRequest, link: Link) -> bool:
    """Whether an engine may open `dest`: besides itself it reads what our record names, or the source as an overlay."""
    allowed = files_beside(request.dest, read_record(request.dest))
    allowed += [request.source.path] if request.params["method"] == OVERLAY else []
    return not refusals([link], allowed_backing=allowed)


def _equal(request: ConvertRequest, engine: QemuImg) -> bool:
    """Whether `dest` has the wanted format and holds what the source holds."""
    link, wanted = top_link(request.dest, request.format), _wanted_size(request)
    facts, window = link.facts, request.on_device and request.format == "raw"
    fits = facts.virtual_size >= wanted if window else facts.virtual_size == wanted
    encrypted = request.target.encryption is not None
    if (
        not fits
        or (facts.format, is_encrypted(link)) != (request.format, encrypted)
        or not _rests_rightly(request, link)
        or not _is_safe(request, link)
    ):
        return False
    found = holders(request.dest)
    if found is not None and found.writing:
        raise InUse(
            f"dest: {request.dest} is {found.sentence()}, so it can't be compared; stop that, then run the task again."
        )
    source = source_image(request.source, passphrase=request.params["src_passphrase"])
    passphrase = request.params["passphrase"] if encrypted else None
    target = Image(request.dest, request.format, passphrase=passphrase, length=wanted if window else None)
    with told_clearly(source, target.path):
        return engine.compare(source, target)
