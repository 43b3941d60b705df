# Copyright (c) 2026, the imageops.fleet developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a destination that is there already means for a conversion, by its record and, where that can't tell, its content."""

from __future__ import annotations

from dataclasses import replace

from .._errors import Conflict, InUse
from .._formats.chain import inspect_chain
from .._qemu.image import Image, QemuImg
from .._qemu.image_locks import holders
from .._qemu.options import virtual_size
from .._records import Record, read_record, untouched, write_record
from .convert_request import ConvertRequest

# Nothing to do; the content is right and only the record is out of date; convert.
KEEP, REFRESH, CONVERT = "keep", "refresh", "convert"


def judge(request: ConvertRequest, engine: QemuImg) -> str:
    """KEEP, REFRESH or CONVERT; raises Conflict for content that would be lost and was not made by a conversion."""
    record = read_record(request.dest)
    clean = untouched(request.dest, record)
    made = _tells(request, record)
    if request.params["force"]:
        return KEEP if made and clean else CONVERT
    deep = request.params["verify"] == "deep"
    # "Made from this source" stays true when a VM writes to the image later.
    if made and not deep:
        return KEEP
    # A copy that is as it was made and has the options is compared, anything else only when asked.
    comparable = deep or (clean and _alike(request, record))
    if comparable and _equal(request, engine):
        return KEEP if made else REFRESH
    require_replaceable(request)
    return CONVERT


def require_replaceable(request: ConvertRequest) -> None:
    """Raise Conflict unless what is at `dest` is an untouched conversion of ours, or `force` is given."""
    record = read_record(request.dest)
    if request.params["force"]:
        return
    if record is None:
        why = "was not made by imageops.fleet (it has no record)"
    elif not untouched(request.dest, record):
        why = "was written to since it was made"
    elif record.operation != "convert":
        why = f"was made by another operation ({record.operation})"
    else:
        return
    raise Conflict(
        f"dest: {request.dest} exists and {why}, so it is not replaced; give another dest, 'force: true' to replace it, or "
        f"'verify: deep' to keep it when its content equals the source's."
    )


def refresh_record(request: ConvertRequest, version: str) -> None:
    """Let the record name the source as it was when it was compared; the image's bytes stay."""
    record = read_record(request.dest) or Record(operation="convert", format=request.format, virtual_size=0)
    facts = inspect_chain(request.dest, declared=request.format)[0].facts
    now = replace(
        record,
        operation="convert",
        format=request.format,
        virtual_size=facts.virtual_size,
        source=request.made_from,
        options=request.declared,
        tool=f"imageops.fleet {version}",
    )
    write_record(request.dest, now)


def _tells(request: ConvertRequest, record: Record | None) -> bool:
    """Whether the record tells of just this conversion, and can be believed about the source."""
    return (
        record is not None and _alike(request, record) and record.source == request.made_from and request.source.telling
    )


def _alike(request: ConvertRequest, record: Record | None) -> bool:
    """Whether the record tells of a conversion to the same format with the same options."""
    wanted = ("convert", request.format, request.declared)
    return record is not None and (record.operation, record.format, record.options) == wanted


def _equal(request: ConvertRequest, engine: QemuImg) -> bool:
    """Whether `dest` has the wanted format and holds what the source holds."""
    facts = inspect_chain(request.dest)[0].facts
    wanted = virtual_size(request.format, request.source.virtual_size, request.options)
    if (facts.format, facts.virtual_size, facts.backing) != (request.format, wanted, None):
        return False
    found = holders(request.dest)
    if found is not None and found.writing:
        raise InUse(
            f"dest: {request.dest} is {found.sentence()}, so it can't be compared; stop that, then run the task again."
        )
    return engine.compare(Image(request.source.path, request.source.format), Image(request.dest, request.format))
